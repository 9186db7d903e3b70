import { parseArgs } from 'node:util';
import { BREAKS, type CompanionName, COMPANIONS } from './faults.js';
import { complaints, lastLine, mostErrors, table } from './report.js';
import { runRound } from './round.js';
import { type DatabaseName, DATABASES } from './servers/servers.js';

const WITH = Object.keys(COMPANIONS) as CompanionName[];

const USAGE = `npm run chaos -- [--db sqlite|postgres|mariadb] [--kills N] [--seed N] [--actors N] [--break GUARD]
                 [--with bullmq|rabbitmq]

  --db      which database; default: one after the other
  --kills   how many processes are killed on each; default: 24
  --seed    repeats the schedule of an earlier run; default: another one each time
  --actors  how many processes are at work at once; default: 4
  --break   takes a guard of the library away (${BREAKS.join(', ')}): the run must end with 1;
            confirms is one of --with rabbitmq
  --with    bullmq: deliveries are brought by BullMQ, and its Redis crashes, is emptied and stands still
            rabbitmq: a relay sends events to RabbitMQ, which crashes and stands still`;

function usage(problem: string): never {
  console.error(`${problem}\n\n${USAGE}`);
  process.exit(2);
}

function wholeNumber(name: string, text: string): number {
  const number = Number(text);
  return Number.isSafeInteger(number) && number > 0 ? number : usage(`--${name} takes a whole number above 0`);
}

function oneOf<T extends string>(name: string, all: readonly T[], text: string): T {
  return all.find((one) => one === text) ?? usage(`--${name} takes one of ${all.join(', ')}`);
}

function given() {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({ options: { db: text, kills: text, seed: text, actors: text, break: text, with: text } }).values;
  } catch (error) {
    return usage((error as Error).message);
  }
}

async function main(): Promise<void> {
  const values = given();
  const databases: readonly DatabaseName[] = values.db ? [oneOf('db', DATABASES, values.db)] : DATABASES;
  const options = {
    kills: wholeNumber('kills', values.kills ?? '24'),
    seed: values.seed ? wholeNumber('seed', values.seed) : 1 + Math.floor(Math.random() * 100_000),
    actors: wholeNumber('actors', values.actors ?? '4'),
    broken: values.break === undefined ? undefined : oneOf('break', BREAKS, values.break),
    companion: values.with === undefined ? undefined : oneOf('with', WITH, values.with),
  };
  const lines: string[] = [];
  for (const db of databases) {
    const report = await runRound({ db, ...options }, (line) => console.error(`${db}: ${line}`));
    console.log(`\n${table(report)}\n`);
    const failures = complaints(report);
    for (const failure of failures) console.log(`FAILED on ${db}: ${failure}`);
    if (failures.length > 0) {
      process.exitCode = 1;
      for (const line of mostErrors(report)) console.log(line);
    }
    lines.push(lastLine(report));
  }
  console.log(lines.join('\n'));
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
