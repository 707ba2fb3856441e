#!/usr/bin/python3
"""One source of settings, deploy/settings: README.md, docker-compose, swarm, the scripts and the programs agree with it.

    settings_test.py PATH_OF_TILDEL PROJECT_FOLDER
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

BEGIN = '<!-- settings: made by `tildel settings --markdown` -->\n'
END = '<!-- settings end -->'
COMPOSE = ('docker-compose.yml', 'deploy/outside-postgres.yml', 'deploy/outside-witness.yml')
SERVICES = ('intake', 'approval', 'evaluation', 'allocation', 'payment', 'reporting')
# What the system gives to every process, or what builds and tests alone know; no settings of this house.
OTHERS = {'PATH', 'TZ', 'LC_ALL', 'TMPDIR', 'BUILD'}


def tildel(*words):
    return subprocess.run([TILDEL, 'settings', *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=True).stdout


def text_of(*names):
    return (ROOT / pathlib.Path(*names)).read_text(encoding='utf-8')


def c_files(*folders):
    """Sources of programs, without tests and the two that read an environment for others."""
    for folder in folders:
        for path in sorted((ROOT / folder).glob('**/*.[ch]')):
            if not path.name.endswith('_test.c') and path.parts[-2:] not in (('env', 'env.c'), ('check', 'check.c')):
                yield path


def asked_for(path):
    """The names of settings that a C file asks for."""
    return set(re.findall(r'\benv_(?:or|required|url|url_or)\((?:[\w>.-]+, )?"([A-Z0-9_]+)"',
                          path.read_text(encoding='utf-8')))


def ours(name):
    """MARK_... is what deploy/swarm hands to deploy/stack.yml of each secret, and nobody sets; RES_OPTIONS is the C library's."""
    return name not in OTHERS and not name.startswith('MARK_') and name != 'RES_OPTIONS'


def scripts():
    return [path for path in sorted([*(ROOT / 'deploy').iterdir(), *(ROOT / 'deploy/postgres').iterdir()])
            if path.is_file() and (path.suffix == '.sh' or re.match(r'#!/bin/(ba)?sh', path.read_text(encoding='utf-8')))]


class Settings(unittest.TestCase):
    def setUp(self):
        self.rows = {row['name']: row for row in json.loads(tildel('--json'))}
        self.assertTrue(self.rows)

    def readers(self, name, where):
        self.assertTrue(name in self.rows, f'{where}: {name} has no line in deploy/settings')
        return set(self.rows[name]['read_by'].split())

    def read_by(self, names, readers, where):
        self.assertTrue(names, f'{where}: nothing was found; does this test still look for the right thing?')
        for name in sorted(filter(ours, set(names))):
            self.assertTrue(self.readers(name, where) & set(readers),
                            f'{where} reads {name}; deploy/settings must say so, with {" or ".join(readers)}')

    def test_the_programs_have_the_table_of_deploy_settings(self):
        lines = [[field.strip() for field in line.split('|')] for line in text_of('deploy', 'settings').splitlines()
                 if re.match('[A-Z]', line)]
        self.assertEqual([(name, readers, None if otherwise == 'must be set' else otherwise, meaning, example)
                          for name, readers, _, otherwise, meaning, example in lines],
                         [tuple(row.values()) for row in self.rows.values()])

    def test_readme_has_the_table_as_the_program_prints_it(self):
        text = text_of('README.md')
        self.assertEqual((1, 1), (text.count(BEGIN), text.count(END)))
        self.assertEqual(tildel('--markdown'), text.split(BEGIN)[1].split(END)[0],
                         'README.md: put what `tildel settings --markdown` prints between the two marks')

    def test_every_setting_is_listed_for_people(self):
        listed = set(re.findall(r'^  ([A-Z][A-Z0-9_]*) ', tildel(), re.M))
        self.assertEqual(set(self.rows), listed)

    def test_every_variable_of_docker_compose_and_swarm_is_in_the_table(self):
        used = {name: set(re.findall(r'(?<!\$)\$\{?([A-Za-z_][A-Za-z0-9_]*)', text_of(name)))
                for name in (*COMPOSE, 'deploy/witness.yml', 'deploy/stack.yml')}
        for name in COMPOSE:
            self.read_by(used[name] | {'COMPOSE_FILE'}, ['compose'], name)
        self.read_by(used['deploy/witness.yml'], ['compose', 'witness'], 'deploy/witness.yml')
        self.read_by(used['deploy/stack.yml'], ['compose', 'swarm'], 'deploy/stack.yml')

    def test_every_variable_that_is_set_in_a_container_or_process_is_in_the_table(self):
        for name in ('docker-compose.yml', 'deploy/witness.yml', 'deploy/stack.yml'):
            text = text_of(name)
            names = re.findall(r'^ +"?([A-Z][A-Z0-9_]+)"?: ', text, re.M) + re.findall(r'[{,] *"?([A-Z][A-Z0-9_]+)"?: ', text)
            self.assertTrue(names)
            for word in filter(ours, names):
                self.readers(word, name)
        for word in set(re.findall(r'"([A-Z][A-Z0-9_]*)":|env\["([A-Z][A-Z0-9_]*)"\]', text_of('deploy', 'stack.py'))):
            if not set(word) & OTHERS and not ''.join(word).startswith('PG'):
                self.readers(''.join(word), 'deploy/stack.py')

    def test_every_variable_that_a_script_reads_or_hands_on_is_in_the_table(self):
        used = {path.name: re.sub(r'^ *#.*', '', path.read_text(encoding='utf-8'), flags=re.M) for path in scripts()}
        for name in ('init', 'house.sh', 'swarm', 'upgrade', 'backup', 'restore', 'migrate', 'start'):
            self.assertIn(name, used)
        for name, text in used.items():
            for word in re.findall(r'\bsetting(?:_write)? ([A-Z][A-Z0-9_]+)|\bplace ([A-Z][A-Z0-9_]+)', text):
                self.read_by([''.join(word)], ['compose'], f'deploy/{name}')
            for word in re.findall(r'\$\{([A-Z][A-Z0-9_]*):?[-=?+]|(?:--env|-e) "?([A-Z][A-Z0-9_]*)=', text):
                if ours(''.join(word)):
                    self.readers(''.join(word), f'deploy/{name}')

    def test_every_setting_that_a_program_asks_for_is_said_to_be_read_by_it(self):
        for folder, reader in [*((service, 'services') for service in SERVICES), ('broker', 'broker'),
                               ('eventlog', 'eventlog'), ('witness', 'witness'), ('connector', 'connector'), ('console', 'console')]:
            for path in c_files(f'services/{folder}'):
                for name in asked_for(path):
                    reader = 'keys' if path.name == 'note_keys.c' else reader  # a program of its own beside the broker
                    self.assertIn(reader, self.readers(name, path), f'{path} asks for {name}')
        for path in c_files('common/service'):
            for name in asked_for(path):
                self.assertIn('services', self.readers(name, path), f'{path} asks for {name}')
        self.assertTrue(set().union(*map(asked_for, c_files('common', 'services'))) <= set(self.rows))

    def test_the_table_names_only_what_somebody_reads(self):
        programs = set().union(*map(asked_for, c_files('common', 'services')))
        programs |= {f'{name}_FILE' for name in programs if name.endswith('_URL')} | {'REHEARSAL'}  # read in env.c
        others = ''.join(path.read_text(encoding='utf-8') for path in scripts())
        others += ''.join(map(text_of, (*COMPOSE, 'deploy/stack.yml')))
        for name, row in self.rows.items():
            in_programs = set(row['read_by'].split()) & {'broker', 'eventlog', 'witness', 'services', 'connector', 'console', 'keys'}
            if in_programs:
                self.assertIn(name, programs, f'no program reads {name}')
            if in_programs != set(row['read_by'].split()) and name != 'COMPOSE_FILE':  # docker-compose's own
                self.assertRegex(others, rf'\b{name}\b', f'nobody reads {name}')

    def test_programs_read_their_environment_through_the_table_alone(self):
        for path in c_files('common', 'services'):
            self.assertNotIn('getenv(', path.read_text(encoding='utf-8'), f'{path} reads past the table')

    def test_init_finds_every_setting_of_compose_and_no_other(self):
        """.env as init writes it, and what init --check says of one that has a line too many, one too few and wrong ones."""
        with tempfile.TemporaryDirectory() as folder:
            wanted = {name: row['otherwise'] or '' for name, row in self.rows.items() if 'compose' in row['read_by'].split()}
            wanted |= {'DEBTOR_NAME': 'Direktoratet', 'DEBTOR_ACCOUNT': '12340000011', 'DEBTOR_BIC': 'DNBANOKK'}
            said = subprocess.run(['sh', '-c', '. deploy/house.sh; env_settings'], cwd=ROOT, capture_output=True, text=True, check=True)
            self.assertEqual([f'{name}|{self.rows[name]["otherwise"] or ""}' for name in wanted], said.stdout.splitlines())
            self.assertEqual([], self.init_faults(folder, wanted))
            wanted |= {'BUS_BROKER': 'tcp://broker:5555', 'DEBTOR_BIC': '', 'POSTGRES_MEMORY': 'much'}
            wanted.pop('DEBTOR_NAME')
            self.assertEqual(['DEBTOR_BIC is empty', 'POSTGRES_MEMORY is "much"', 'there is no setting BUS_BROKER for this file',
                              'DEBTOR_NAME is missing'], self.init_faults(folder, wanted))

    def init_faults(self, folder, settings):
        """What deploy/init --check says of the lines of this .env."""
        path = pathlib.Path(folder) / 'env'
        path.write_text(''.join(f'{name}={value}\n' for name, value in settings.items()), encoding='utf-8')
        done = subprocess.run([ROOT / 'deploy' / 'init', '--check'], env={'PATH': '/usr/bin:/bin', 'ENV_FILE': str(path)},
                              capture_output=True, text=True, check=False)
        lines = [line.removeprefix(f'init: {path}').removeprefix(': ') for line in done.stderr.splitlines() if str(path) in line]
        return [re.sub(r'^ line \d+: ', '', line).split(';')[0] for line in lines]


if __name__ == '__main__':
    TILDEL, ROOT = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1))
    unittest.main()
