import { type Connected, onTables } from '../action.js';
import { addEventFilter, entityNamed, eventFilter, type EventOptions, idOf } from '../arguments/filters.js';
import { commandOf } from '../command.js';
import { MisuseError } from '../command.error.js';
import { count } from '../output/progress.js';
import { agree } from './agree.js';
import { addBulkOptions, type BulkFlags, runBulk } from './bulk.js';

interface Options extends EventOptions, BulkFlags {
  readonly all?: true;
}

const WORDS = { act: 'forget', done: 'forgotten', what: 'events' } as const;

/** `spark forget`: removes events with their deliveries, so that they can happen again. */
export const forgetCommand = () =>
  onTables<Options>(
    commandOf(
      {
        usage: 'forget [entity] [id]',
        does: 'Removes events with their deliveries, so that they can happen again; with an entity, its rechecks, too',
        examples: ['forget Challenge 7 --dry-run', 'forget --key newsletter_2026-03 --yes'],
      },
      (command) => addBulkOptions(addEventFilter(command).option('--all', 'all of them')),
    ),
    async (invocation) => {
      const { service, dataSource, args, options } = invocation;
      const filter = eventFilter(options, dataSource);
      const isEmpty = Object.keys(filter).length === 0;
      const [entity, id] = args;
      if (entity !== undefined) {
        if (!isEmpty || options.all) throw new MisuseError('Nothing was changed: an entity excludes other options.');
        if (id === undefined)
          throw new MisuseError(`Nothing was changed: say which ${entity}, by its id. For all: --entity ${entity}.`);
        return forgetEntity(invocation, entity, id);
      }
      if (isEmpty === !options.all)
        throw new MisuseError(
          'Nothing was changed: say which to forget, as in spark forget Challenge 7, or by options such as --group, or say --all alone.',
        );
      const what = options.all ? ({ all: true } as const) : filter;
      await runBulk(invocation, WORDS, (bulk) => service.forget(what, bulk));
    },
  );

/** Also without events, it removes the rechecks of the entity, and since when its conditions have lasted. */
async function forgetEntity(invocation: Connected<Options>, name: string, text: string): Promise<void> {
  const { service, dataSource, output, options, progress, signal } = invocation;
  const entity = entityNamed(dataSource, name);
  const id = idOf(dataSource, entity, text);
  const { act, done, what } = WORDS;
  await agree(invocation, act, async () => {
    const events = await service.forget(entity, id, { dryRun: true, signal });
    return `Forget ${name} ${text} with ${count(events)} events?`;
  });
  const { dryRun = false } = options;
  const onProgress = (sofar: number) => progress.show(sofar, what);
  const events = await service.forget(entity, id, { dryRun, signal, onProgress });
  progress.end();
  output.record({ act, dryRun, [what]: events }, () =>
    output.text(`${count(events)} ${what} ${dryRun ? `would be ${done}` : done}.`),
  );
}
