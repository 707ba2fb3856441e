#!/usr/bin/python3
"""A store.sql is read as it is meant, and a wrong one is refused with a sentence and its line."""
import os
import subprocess
import sys
import tempfile
import unittest

EMBED = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'embed_sql.py')


def embed(text):
    """Returns (header, None) or (None, what was said)."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = os.path.join(folder, 'store.sql'), os.path.join(folder, 'x.h')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(text)
        done = subprocess.run([sys.executable, EMBED, source, 'x', output], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return None, done.stderr.strip().removeprefix(folder + os.sep)
        with open(output, encoding='utf-8') as file:
            return file.read(), None


class EmbedSql(unittest.TestCase):
    def refused(self, text, said):
        header, why = embed(text)
        self.assertIsNone(header)
        self.assertEqual(said, why)

    def test_an_empty_store_has_empty_lists(self):
        header, _ = embed('-- nothing yet\n')
        self.assertRegex(header, r'migrations_x\[\] __attribute__\(\(unused\)\) = \{\n    \{0, NULL, 0\},')
        self.assertRegex(header, r'sql_x_all\[\] __attribute__\(\(unused\)\) = \{\n    NULL,')

    def test_blocks_become_steps_and_statements(self):
        header, _ = embed('-- about\n-- schema: 1 first\nCREATE TABLE a ();\n\n-- why\n-- name: look\n'
                          "SELECT \"x\", E'\\n$5' FROM a WHERE b = $2 AND c = $1\n")
        self.assertIn('{1,\n        "CREATE TABLE a ();\\n",\n     0},', header)
        self.assertIn('.name = "look", .params = 2, .text =', header)
        self.assertIn('"SELECT \\"x\\", E\'\\\\n$5\' FROM a WHERE b = $2 AND c = $1\\n"};', header)
        self.assertNotIn('why', header)
        self.assertIn('&sql_look,\n    NULL,', header)

    def test_a_statement_of_a_kind_is_marked(self):
        header, _ = embed('-- name: add (many)\nINSERT INTO a SELECT * FROM unnest($1::text[])\n'
                          '-- name: find (steady)\nSELECT 1\n')
        self.assertIn('.name = "add", .params = 1, .many = true, .text =', header)
        self.assertIn('.name = "find", .params = 0, .steady = true, .text =', header)
        self.refused('-- name: add (few)\nA;\n', 'store.sql:1: the name "add (few)" is not 1 to 55 of a-z, 0-9 and _, '
                     'beginning with a letter')

    def test_a_copy_goes_into_parentheses_with_numbers_for_its_parameters(self):
        header, _ = embed('-- name: all (copy)\nSELECT 1 WHERE $1 < $2;\n')
        self.assertIn('.name = "all", .params = 2, .copy = true, .text =', header)
        self.assertIn('"SELECT 1 WHERE $1 < $2\\n"};', header)
        for text in ("SELECT '$1'", 'SELECT $10', 'SELECT 1 -- $1'):
            self.refused(f'-- name: all (copy)\n{text}\n',
                         'store.sql:1: "all" goes out in a COPY: it may have $1 to $9, and no other $')

    def test_parameters_are_not_looked_for_in_quotes_and_comments(self):
        header, _ = embed('-- name: a\nSELECT \'$4\', "$5", $$ $6 $$, $q$ $7 $q$, $10 -- $11\n/* $12\n $13 */\n')
        self.assertIn('.params = 10,', header)

    def test_a_comment_within_a_block_stays(self):
        header, _ = embed('-- schema: 1 a\nA;\n-- about B\nB;\n')
        self.assertIn('"-- about B\\n"', header)

    def test_a_step_leaves_the_program_before_it_running_unless_it_says_otherwise(self):
        header, _ = embed('-- schema: 1 a\nA;\n-- schema: 2 b\nB;\n-- schema: 3 c (programs from 1)\nC;\n'
                          '-- schema: 4 d (programs from 4)\nD;\n')
        self.assertIn('{1,\n        "A;\\n",\n     0},\n    {2,\n        "B;\\n",\n     1},', header)
        self.assertIn('{3,\n        "C;\\n",\n     1},\n    {4,\n        "D;\\n",\n     4},', header)

    def test_which_programs_still_run_is_said_in_one_form(self):
        for argument in ('1 a (programs from 2)', '1 a (programs of 1)', '1 a programs from 1'):
            self.refused(f'-- schema: {argument}\nA;\n',
                         f'store.sql:1: "{argument}" should end in "(programs from K)", K a number from 0 to 1')

    def test_a_name_is_used_once(self):
        self.refused('-- name: a\nSELECT 1\n-- name: a\nSELECT 2\n',
                     'store.sql:3: the name "a" is used a second time')

    def test_steps_have_no_gaps(self):
        self.refused('-- schema: 1 a\nA\n-- schema: 3 c\nC\n',
                     'store.sql:3: schema step "3" should be 2: steps are numbered without gaps')
        self.refused('-- schema: two\nA\n',
                     'store.sql:1: schema step "two" should be 1: steps are numbered without gaps')

    def test_nothing_stands_before_the_first_block(self):
        self.refused('-- fine\n\nSELECT 1\n-- name: a\nSELECT 2\n',
                     'store.sql:3: text before the first block: begin with "-- schema: 1 what" or "-- name: x"')

    def test_a_block_is_not_empty(self):
        self.refused('-- name: a\n-- name: b\nSELECT 1\n', 'store.sql:1: the block "name: a" is empty')

    def test_a_name_is_one_that_c_and_postgresql_take(self):
        for name in ('Look', '1a', 'a b', 'a' * 56, ''):
            self.refused(f'-- name: {name}\nSELECT 1\n', f'store.sql:1: the name "{name}" is not 1 to 55 of a-z, 0-9 '
                                                         'and _, beginning with a letter')


if __name__ == '__main__':
    unittest.main()
