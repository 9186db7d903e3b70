import { chmodSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { GroupHandler, sparkEvent } from 'nestjs-spark';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blocksOf } from '../tools/docs/blocks.mjs';
import { startApp } from './support/app.js';
import { type CommandLine, commandLine, dataSourceText } from './support/command-line.js';
import { databases } from './support/databases.js';
import { hasTerminal, Terminal } from './support/terminal.js';

let isDown = true;

@Injectable()
class ChallengeMails {
  @GroupHandler(/^challenge_created$/, { name: 'challenge-mails', maxAttempts: 1 })
  send() {
    if (isDown) throw new Error('connect ECONNREFUSED 10.0.0.7:25');
  }
}

/** A command of the transcript, and the lines that it prints. */
interface Step {
  readonly command: string;
  readonly printed: readonly string[];
}

/** The commands of the documents, and the lines of the log before them. */
async function transcript(): Promise<{ readonly log: readonly string[]; readonly steps: readonly Step[] }> {
  const blocks = blocksOf(await readFile('docs/failures.md', 'utf8')).filter(
    ({ heading, language }) => heading === '## A failure in the night' && language !== 'ts',
  );
  const texts = blocks.filter(({ language }) => language === 'console').map(({ code }) => code);
  const steps = texts
    .flatMap((text) => text.split(/^(?=\$ )/m))
    .map((step) => {
      const [command, ...printed] = step.trimEnd().split('\n');
      return { command: command!.slice(2), printed };
    });
  const log = blocks.find(({ language }) => language === 'text')!;
  return { log: log.code.trimEnd().split('\n'), steps };
}

const UUID = /[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/g;

/** Lines without what differs each time: instants, processes, how long something took, and the places of stacks. */
const alike = (lines: readonly string[]): string[] =>
  lines
    .filter((line) => !line.startsWith('    at '))
    .map((line) =>
      line
        .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<instant>')
        .replace(UUID, '<worker>')
        .replace(/, \S+ \d+, \d+ ms:/, ', <process>, <time>:')
        .replace(/^(fingerprint +)[\da-f]+$/, '$1<fingerprint>'),
    );

const hasTmux = await hasTerminal();
if (!hasTmux) console.log('not covered: the transcript in a terminal, because there is no tmux');

describe.skipIf(!hasTmux)('a failure in the night', () => {
  let cli: CommandLine;
  let terminal: Terminal;

  beforeAll(async () => {
    // Once, with the packages as they are installed.
    cli = await commandLine({ isLinked: false });
    cli.write('spark.config.json', '{ "dataSource": "data-source.mjs" }');
    chmodSync(cli.write('bin/spark', `#!/bin/sh\nexec '${process.execPath}' '${cli.bin}' "$@"\n`), 0o755);
    terminal = await Terminal.open(cli.folder, join(cli.folder, 'bin'));
  });
  afterAll(async () => {
    await terminal.close();
    cli.remove();
  });

  it.each(databases)(
    'goes from the alert to the end as the documents show it, on $name',
    async (database) => {
      const { log, steps } = await transcript();
      isDown = true;
      const db = await database.create();
      cli.write('data-source.mjs', dataSourceText('esm', db));
      const spark = { autoStart: false };
      const app = await startApp({ database: db, entities: [], providers: [ChallengeMails], spark });
      await app.spark.emit([7, 8].map((id) => sparkEvent('challenge_created', id)));
      await app.spark.drain();
      const { alertWatch } = (app.spark as unknown as { spark: { alertWatch: { run(every: number): Promise<void> } } })
        .spark;
      await alertWatch.run(0);
      const alert = app.logs.filter((line) => line.includes('were discarded within'));
      expect(alert.map((line) => line.replace(/^warn /, 'WARN [Spark] '))).toEqual(log);
      for (const { command, printed } of steps) {
        expect({ command, printed: alike(await terminal.run(command)) }).toEqual({ command, printed: alike(printed) });
        // The reader mends what has failed after he has seen why. Then a process handles what he retries.
        if (command.includes('show')) isDown = false;
        await app.spark.drain();
      }
      expect(steps.length).toBeGreaterThan(4);
      await app.close();
      await db.drop();
    },
    120_000,
  );
});
