import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bundle } from '../tools/bundle.mjs';
import { blocksOf } from '../tools/docs/blocks.mjs';

const root = resolve(import.meta.dirname, '..');
/** The README's own driver aborts there: see apps/challenges/src/sqlite.ts. */
const aborts = Number(process.versions.node.split('.')[0]) >= 24;

describe.skipIf(aborts)('the first example of the README', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(root, 'node_modules/.first-example-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('runs as it stands, in an empty folder, and prints what it says', async () => {
    const readme = await readFile(join(root, 'README.md'), 'utf8');
    const blocks = blocksOf(readme).filter(({ heading }) => heading === '## The first example');
    const block = (language: string) => blocks.find((one) => one.language === language)!.code;
    const promised = block('').trim().split('\n');
    await writeFile(join(folder, 'main.ts'), block('ts'));
    const { path, remove } = await bundle(join(folder, 'main.ts'));
    const empty = await mkdtemp(join(tmpdir(), 'first-example-'));
    const child = spawn(process.execPath, [path], { cwd: empty, stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const printed: string[] = [];
      for await (const line of createInterface(child.stdout)) {
        if (line.includes('challenge_')) printed.push(line);
        if (printed.length === promised.length) break;
      }
      expect(printed).toEqual(promised);
    } finally {
      child.kill('SIGKILL');
      remove();
      await rm(empty, { recursive: true });
    }
  });
});
