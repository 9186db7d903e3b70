import { onApplication } from '../action.js';
import { addEventFilter, eventFilter, type EventOptions } from '../arguments/filters.js';
import { commandOf } from '../command.js';
import { addBulkOptions, type BulkFlags, runBulk } from './bulk.js';

interface Options extends EventOptions, BulkFlags {
  readonly handler: string;
  readonly repeat?: true;
}

/** `spark replay`: delivers past events to a handler. */
export const replayCommand = () =>
  onApplication<Options>(
    commandOf(
      {
        usage: 'replay',
        does: 'Delivers past events to a handler that is new, or that must do its work again',
        examples: [
          'replay --handler statistics --from 2026-01-01 --dry-run',
          'replay --handler challenge-mails --entity Challenge --id 7 --repeat --yes',
        ],
      },
      (command) =>
        addBulkOptions(
          addEventFilter(command)
            .requiredOption('--handler <name>', 'to this handler of the application')
            .option('--repeat', 'also what was completed, skipped or discarded'),
        ),
    ),
    () => ({ registersSources: false }),
    async (invocation) => {
      const { service, dataSource, options } = invocation;
      const { handler, repeat = false } = options;
      const replay = { handler, repeat, ...eventFilter(options, dataSource) };
      await runBulk(invocation, { act: 'replay', done: 'replayed', what: 'deliveries' }, (bulk) =>
        service.replay(replay, bulk),
      );
    },
  );
