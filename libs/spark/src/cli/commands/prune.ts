import type { KeptTimes, Pruned } from '../../store/retention-rows.js';
import { type Connected, onTables } from '../action.js';
import { duration } from '../arguments/instant.js';
import { commandOf } from '../command.js';
import { CommandError, MisuseError } from '../command.error.js';
import { count } from '../output/progress.js';
import { addBulkOptions, type BulkFlags, countAndChange } from './bulk.js';

interface Options extends BulkFlags {
  readonly olderThan?: number;
}

/** `spark prune`: removes at once what `retention` removes in its time. */
export const pruneCommand = () =>
  onTables<Options>(
    commandOf(
      {
        usage: 'prune',
        does: 'Removes finished deliveries that are old, and the contexts of their events, as retention does',
        examples: ['prune --older-than 90d --dry-run', 'prune -m dist/app.module.js#AppModule --yes'],
      },
      (command) =>
        addBulkOptions(
          command
            .optionsGroup('Which:')
            .option(
              '--older-than <duration>',
              'deliveries that ended longer ago, such as 90d; with --module, default: its retention',
              duration,
            ),
        ),
    ),
    prune,
  );

async function prune(invocation: Connected<Options>): Promise<void> {
  const { spark, options, output, progress, signal } = invocation;
  const { dryRun = false } = options;
  const times = timesOf(options, spark.settings.retention);
  const { Pruning } = await import('../../runtime/pruning.js');
  const pruning = new Pruning(spark, times);
  const pruned = await countAndChange<Pruned>(invocation, {
    act: 'prune',
    count: () => pruning.count({ signal, onProgress: (done) => progress.show(done, 'old rows') }),
    rowsOf: ({ deliveries, contexts, keys }) => deliveries + contexts + keys,
    question: (counted) => `Remove ${wordsOf(counted)}?`,
    change: async (total) => {
      const removed = await pruning.prune({ signal, onProgress: (done) => progress.show(done, 'rows', total) });
      if (removed) return removed;
      throw new CommandError('Another process removes old rows at this moment. Try again in a minute.');
    },
  });
  const line = `${wordsOf(pruned)} ${dryRun ? 'would be removed' : 'removed'}.`;
  output.record({ act: 'prune', dryRun, ...pruned }, () => output.text(line));
}

/** Throws MisuseError if nothing says how old the rows must be. */
function timesOf({ olderThan }: Options, retention: KeptTimes): KeptTimes {
  if (olderThan !== undefined) return { completed: olderThan, discarded: olderThan, keys: new Map() };
  const { completed, discarded, keys } = retention;
  if (completed !== undefined || discarded !== undefined || keys.size > 0) return retention;
  throw new MisuseError(
    'Nothing was changed: say how old, as in --older-than 90d. With --module, the option `retention` of the SparkModule may say it.',
  );
}

const wordsOf = ({ deliveries, contexts, keys }: Pruned): string =>
  `${count(deliveries)} deliveries, ${count(contexts)} contexts and ${count(keys)} keys`;
