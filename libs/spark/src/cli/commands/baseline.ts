import type { EntityTarget, ObjectLiteral } from 'typeorm';
import { type Connected, onApplication } from '../action.js';
import { entityNamed } from '../arguments/filters.js';
import { commandOf } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { count } from '../output/progress.js';
import { agree } from './agree.js';
import { addBulkOptions, type BulkFlags } from './bulk.js';
import {
  addSpeedOptions,
  isWhole,
  noteRest,
  printReport,
  speedOf,
  type SpeedOptions,
  watched,
} from './sweep-output.js';

interface Options extends BulkFlags, SpeedOptions {}

/** `spark baseline`: enters the events of all present rows of an entity without delivering them. */
export const baselineCommand = () =>
  onApplication<Options>(
    commandOf(
      {
        usage: 'baseline <entity>',
        does: 'Enters the events of all present rows of an entity, delivers none of them, and discards held deliveries',
        examples: ['baseline Order --dry-run', 'baseline Order --yes'],
      },
      (command) => addSpeedOptions(addBulkOptions(command)),
    ),
    ({ dryRun = false }) => ({ registersSources: !dryRun }),
    async (invocation) => {
      const { service, dataSource, output, args, options, signal } = invocation;
      const name = args[0]!;
      const entity = entityNamed(dataSource, name);
      if (options.dryRun) {
        const counts = await counted(invocation, name, entity);
        output.record({ act: 'baseline', dryRun: true, ...counts }, () => output.text(`${wordsOf(counts)}.`));
        return EXIT.done;
      }
      await agree(invocation, 'baseline', async () => `${wordsOf(await counted(invocation, name, entity))}. Go on?`);
      const report = await watched(
        invocation,
        () => service.baseline(entity, { ...speedOf(options), signal }),
        'What it has entered stays. Call it again: it reads the table from its start.',
      );
      printReport(output, report);
      noteRest(output, report);
      return isWhole(report) ? EXIT.done : EXIT.failed;
    },
  );

interface Counts {
  readonly events: number;
  readonly held: number;
}

/** Counts the events that a baseline would enter now, and the held deliveries that it would discard. */
async function counted(
  { service, progress, signal }: Connected<Options>,
  name: string,
  entity: EntityTarget<ObjectLiteral>,
): Promise<Counts> {
  const onProgress = (read: number) => progress.show(read, 'entities');
  const { groups } = await service.plan({ summary: true, entity, onProgress, signal });
  progress.end();
  // A plan is about all sources of the table, and a baseline about those of the class.
  const events = groups.filter((group) => group.entity === name).reduce((sum, { enter }) => sum + enter, 0);
  const sources = (await service.sources()).filter((source) => source.entity === name);
  let held = 0;
  for (const { source } of sources) held += await service.discard({ source, state: 'held' }, { dryRun: true, signal });
  return { events, held };
}

const wordsOf = ({ events, held }: Counts): string =>
  `${count(events)} events would be entered without deliveries, and ${count(held)} held deliveries would be discarded`;
