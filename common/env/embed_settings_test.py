#!/usr/bin/python3
"""deploy/settings is read as it is meant, and a wrong line is refused with a sentence and its number."""
import os
import subprocess
import sys
import tempfile
import unittest

EMBED = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'embed_settings.py')


def embed(text):
    """Returns (C text, None) or (None, what was said)."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = os.path.join(folder, 'settings'), os.path.join(folder, 'x.c')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(text)
        done = subprocess.run([sys.executable, EMBED, source, output], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return None, done.stderr.strip().removeprefix(folder + os.sep)
        with open(output, encoding='utf-8') as file:
            return file.read(), None


class EmbedSettings(unittest.TestCase):
    def refused(self, text, said):
        made, why = embed(text)
        self.assertIsNone(made)
        self.assertEqual(said, why)

    def test_a_line_becomes_a_row(self):
        made, _ = embed('# about\n\nA_B | broker compose | text | or:else | what "it" is \\ for | x y\n')
        self.assertIn('{"A_B", "broker compose", "or:else",\n     "what \\"it\\" is \\\\ for", "x y"},', made)
        self.assertNotIn('about', made)

    def test_what_must_be_set_has_nothing_instead(self):
        made, _ = embed('A | broker | text | must be set | what |\nB | broker | text | | what |\n')
        self.assertIn('{"A", "broker", NULL,\n', made)
        self.assertIn('{"B", "broker", "",\n', made)

    def test_every_line_has_all_columns(self):
        self.refused('A | broker | text | | what\n',
                     'settings:1: 5 columns instead of 6: name | read by | kind | when not set | meaning | example')
        self.refused('#\nA | broker | text | | this | that |\n',
                     'settings:2: 7 columns instead of 6: name | read by | kind | when not set | meaning | example')

    def test_a_name_is_one_of_an_environment_and_stands_once(self):
        self.refused('a | broker | text | | what |\n', 'settings:1: the name "a" is not capital letters, digits and _, '
                                                       'beginning with a letter')
        self.refused('A | broker | text | | what |\nA | broker | text | | what |\n',
                     'settings:2: A stands here a second time, first in line 1')

    def test_readers_and_kinds_are_known(self):
        for words in ('nobody', 'broker  console', ''):
            self.assertIn('is not known; known are broker, eventlog, ', embed(f'A | {words} | text | | what |\n')[1])
        self.assertIn('the kind "thing" is not known; known are name, ', embed('A | broker | thing | | what |\n')[1])
        self.refused('A | broker broker | text | | what |\n', 'settings:1: a reader of A is named twice')

    def test_every_setting_says_what_it_is_for(self):
        self.refused('A | broker | text | | |\n', 'settings:1: A has no meaning; say what it is for')

    def test_what_is_written_into_env_is_a_value_and_not_a_sentence(self):
        self.refused('A | compose | text | the volume | what |\n',
                     'settings:1: what holds when A is not set is written into .env, and "the volume" is no value')
        self.assertIsNotNone(embed('A | compose | text | must be set | what |\nB | broker | text | the host | what |\n')[0])


if __name__ == '__main__':
    unittest.main()
