import type { Command } from 'commander';
import type { Planned } from '../../inspect/planned.js';
import { type Connected, onApplication } from '../action.js';
import { addEntityOptions, entityFilter, type EntityOptions } from '../arguments/filters.js';
import { instant, wholeNumber, wholeNumberOrZero } from '../arguments/instant.js';
import { commandOf } from '../command.js';
import { MisuseError } from '../command.error.js';
import { EXIT } from '../exit-codes.js';
import { type Check, checkOf, PLANNED, printSummary } from './plan-output.js';

interface Options extends EntityOptions {
  readonly at?: Date;
  readonly limit: number;
  readonly summary?: true;
  readonly check?: true;
  readonly maxNew?: number;
}

const USUAL = 100;

/** `spark plan`: what the code of the application would do with the rows as they are. */
export const planCommand = () =>
  onApplication<Options>(
    commandOf(
      {
        usage: 'plan',
        does: 'Says what this code would do with the rows as they are, and changes nothing',
        examples: ['plan --entity Challenge --id 7 --at +7d', 'plan --summary', 'plan --check --max-new 1000'],
      },
      addOptions,
    ).hook('preAction', (command) => checkOptions(command.opts<Options>())),
    () => ({ registersSources: false }),
    async (invocation) => {
      const { options } = invocation;
      if (!options.summary && !options.check) return list(invocation);
      return summarize(invocation);
    },
  );

const addOptions = (command: Command): Command =>
  addEntityOptions(command)
    .option('--at <time>', 'up to then: 2026-06-01, 2026-06-01T12:00Z, +7d; default: now', instant)
    .optionsGroup('How:')
    .option('--limit <number>', 'lists at most so many', wholeNumber, USUAL)
    .option('--summary', 'counts the events of each group and the deliveries of each handler')
    .option(
      '--check',
      'the summary, and ends with 1 if more than --max-new deliveries would go out, or it has problems',
    )
    .option('--max-new <number>', 'how many deliveries may go out, for --check', wholeNumberOrZero);

function checkOptions({ id, summary, check, maxNew }: Options): void {
  if ((check === undefined) !== (maxNew === undefined))
    throw new MisuseError('--check and --max-new need each other: --check --max-new 1000.');
  if (id !== undefined && (summary || check))
    throw new MisuseError('--summary and --check count the events of all entities: leave --id out.');
}

async function list({ service, dataSource, output, options, signal }: Connected<Options>): Promise<void> {
  const { at, limit } = options;
  const planned: Planned[] = [];
  let isCut = false;
  for await (const one of service.plan({ ...entityFilter(options, dataSource), ...(at ? { at } : {}) })) {
    signal.throwIfAborted();
    isCut = planned.length === limit;
    if (isCut) break;
    planned.push(one);
  }
  output.list(PLANNED, planned, 'Nothing would happen.');
  if (isCut) output.note('There are more: raise --limit, or count them with --summary.');
}

async function summarize({
  service,
  dataSource,
  output,
  options,
  progress,
  signal,
}: Connected<Options>): Promise<number> {
  const { at, maxNew } = options;
  const onProgress = (read: number) => progress.show(read, 'entities');
  const { entity } = entityFilter(options, dataSource);
  const which = { ...(entity === undefined ? {} : { entity }), ...(at ? { at } : {}) };
  const summary = await service.plan({ ...which, summary: true, onProgress, signal });
  progress.end();
  const check: Check | undefined = maxNew === undefined ? undefined : checkOf(summary, maxNew);
  output.record(check ? { ...summary, check } : summary, () => printSummary(output, summary, check));
  return check && !check.passed ? EXIT.failed : EXIT.done;
}
