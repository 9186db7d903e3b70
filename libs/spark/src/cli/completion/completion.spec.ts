import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createProgram } from '../program.js';
import { bashScript } from './bash.js';
import { completionsOf } from './completions.js';
import { zshScript } from './zsh.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'spark-completion-'));
  writeFileSync(join(folder, 'data source.js'), '');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs lines of a shell, and returns what it prints, line by line. */
function run(shell: string, args: readonly string[], lines: readonly string[]): string[] {
  const { stdout, stderr, status } = spawnSync(shell, [...args, lines.join('\n')], { cwd: folder, encoding: 'utf8' });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  return stdout.split('\n');
}

const MARK = '---';

/** What a shell proposes for the last word of each line. */
function proposed(shell: 'bash' | 'zsh', lines: readonly (readonly string[])[], program = createProgram()): string[][] {
  const completions = completionsOf(program);
  const name = completions.program;
  const quoted = (words: readonly string[]) => words.map((word) => `'${word}'`).join(' ');
  const script =
    shell === 'bash'
      ? [
          bashScript(completions),
          ...lines.flatMap((words) => [
            `COMP_WORDS=(${name} ${quoted(words)}); COMP_CWORD=${words.length}; _${name}`,
            // Without a match, bash has an empty list.
            `printf '%s\\n' "\${COMPREPLY[@]}" ${MARK}`,
          ]),
        ]
      : [
          // What only the editor of zsh has.
          'compdef() { :; }',
          '_files() { print -rl -- *; }',
          '_describe() { local name="${@[-1]}"; print -rl -- "${(@P)name}"; }',
          zshScript(completions),
          ...lines.flatMap((words) => [
            `words=(${name} ${quoted(words)}); CURRENT=${words.length + 1}; _${name}`,
            `print -r -- ${MARK}`,
          ]),
        ];
  const printed = run(shell, shell === 'bash' ? ['--norc', '--noprofile', '-uc'] : ['-fc'], script);
  const found: string[][] = [[]];
  for (const line of printed.filter((text) => text !== '')) {
    if (line === MARK) found.push([]);
    else found.at(-1)!.push(line);
  }
  return found.slice(0, -1);
}

const hasZsh = spawnSync('zsh', ['-fc', 'exit 0']).status === 0;

describe('completion in bash', () => {
  it('proposes commands, then their commands, then options, and only those that begin alike', () => {
    const [first, alike, groups, leaf, options, unknown] = proposed('bash', [
      [''],
      ['de'],
      ['events', ''],
      ['events', 'list', ''],
      ['deliveries', 'retry', '--ha'],
      ['events', 'nonsense', ''],
    ]);
    const names = createProgram().commands.map((command) => command.name());
    expect(first).toEqual(names);
    expect(alike).toEqual(['deliveries']);
    expect(groups).toEqual(['list', 'show']);
    expect(leaf).toEqual(expect.arrayContaining(['--entity', '--limit', '--data-source', '--json', '--help']));
    expect(leaf).not.toContain('--handler');
    expect(options).toEqual(['--handler']);
    expect(unknown).toEqual(['list', 'show']);
  });

  it('proposes files after the options that take one, nothing after those that take another value, and the values of arguments', () => {
    const found = proposed('bash', [
      ['status', '-d', ''],
      ['status', '--config', 'da'],
      ['events', 'list', '--group', ''],
      ['completion', ''],
      ['--'],
    ]);
    expect(found).toEqual([['data source.js'], ['data source.js'], [], ['bash', 'zsh'], ['--version', '--help']]);
  });

  it('knows a command that is added, without another change', () => {
    const program = new Command('spark').addCommand(new Command('sweep').option('--rate <number>', "the world's rate"));
    expect(proposed('bash', [['s'], ['sweep', '-']], program)).toEqual([['sweep'], ['--rate', '--help']]);
  });
});

describe.skipIf(!hasZsh)('completion in zsh', () => {
  it('proposes commands with what they do, options, files, and the values of arguments', () => {
    const [first, groups, leaf, files, nothing, values] = proposed('zsh', [
      [''],
      ['migrate', ''],
      ['handlers', 'list', '-'],
      ['status', '-d', ''],
      ['events', 'list', '--group', ''],
      ['completion', ''],
    ]);
    expect(first).toContain('rechecks:Entities whose sources run again');
    expect(first).toContain("migrate:Creates Spark's tables, or changes them to the version of this release");
    expect(groups!.map((line) => line.split(':', 1)[0])).toEqual(['status', 'up', 'sql']);
    expect(leaf).toContain('--json:JSON, one object a line');
    expect(files).toEqual(['data source.js']);
    expect(nothing).toEqual([]);
    expect(values).toEqual(['bash', 'zsh']);
  });
});
