#!/usr/bin/python3
"""One source of settings: README.md, docker-compose and the programs agree with the table of settings.c.

    settings_test.py PATH_OF_TILDEL PROJECT_FOLDER
"""
import json
import pathlib
import re
import subprocess
import sys
import unittest

BEGIN = '<!-- settings: made by `tildel settings --markdown` -->\n'
END = '<!-- settings end -->'


def tildel(*words):
    return subprocess.run([TILDEL, 'settings', *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=True).stdout


class Settings(unittest.TestCase):
    def setUp(self):
        self.rows = {row['name']: row for row in json.loads(tildel('--json'))}

    def test_readme_has_the_table_as_the_program_prints_it(self):
        text = (ROOT / 'README.md').read_text(encoding='utf-8')
        self.assertEqual((1, 1), (text.count(BEGIN), text.count(END)))
        self.assertEqual(tildel('--markdown'), text.split(BEGIN)[1].split(END)[0],
                         'README.md: put what `tildel settings --markdown` prints between the two marks')

    def test_every_variable_of_docker_compose_and_swarm_is_in_the_table(self):
        for path in [ROOT / 'docker-compose.yml', ROOT / 'deploy' / 'stack.yml']:
            text = path.read_text(encoding='utf-8') if path.exists() else ''
            for name in re.findall(r'(?<!\$)\$\{?([A-Za-z_][A-Za-z0-9_]*)', text):
                self.assertIn(name, self.rows, f'{path.name} uses ${{{name}}}')
                self.assertIn('compose', self.rows[name]['read_by'].split(), f'{path.name} uses ${{{name}}}')

    def test_every_variable_that_docker_compose_sets_in_a_container_is_in_the_table(self):
        for path in [ROOT / 'docker-compose.yml', ROOT / 'deploy' / 'stack.yml']:
            text = path.read_text(encoding='utf-8') if path.exists() else ''
            names = re.findall(r'^ +([A-Z][A-Z0-9_]+): ', text, re.M) + re.findall(r'[{,] *([A-Z][A-Z0-9_]+): ', text)
            for name in names:
                self.assertIn(name, self.rows, f'{path.name} sets {name}')

    def test_what_init_writes_into_env_is_in_the_table(self):
        init = (ROOT / 'deploy' / 'init').read_text(encoding='utf-8')
        for name in re.findall(r'^([A-Z][A-Z0-9_]*)=', init, re.M):
            self.assertIn(name, self.rows, f'deploy/init writes {name}')

    def test_the_table_names_only_what_somebody_reads(self):
        text = ''.join(path.read_text(encoding='utf-8') for folder in ('common', 'services')
                       for path in (ROOT / folder).glob('**/*.c') if path.name != 'settings.c')
        text += ''.join((ROOT / path).read_text(encoding='utf-8') for path in (
            'docker-compose.yml', 'deploy/postgres/start', 'deploy/init'))
        for name in self.rows:
            self.assertIn(name.removesuffix('_FILE'), text, f'nobody reads {name}')

    def test_programs_read_their_environment_through_the_table_alone(self):
        for folder in ('common', 'services'):
            for path in (ROOT / folder).glob('**/*.[ch]'):
                if path.name.endswith('_test.c') or path.parts[-2:] in (('env', 'env.c'), ('check', 'check.c')):
                    continue
                self.assertNotIn('getenv(', path.read_text(encoding='utf-8'), f'{path} reads past the table')


if __name__ == '__main__':
    TILDEL, ROOT = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1))
    unittest.main()
