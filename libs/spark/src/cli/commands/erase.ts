import { onTables } from '../action.js';
import { entityNamed, idOf } from '../arguments/filters.js';
import { commandOf } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { count } from '../output/progress.js';
import { agree } from './agree.js';
import { addBulkOptions, type BulkFlags } from './bulk.js';

/** `spark erase`: removes the data of an entity from its events. */
export const eraseCommand = () =>
  onTables<BulkFlags>(
    commandOf(
      {
        usage: 'erase <entity> <id>',
        does: 'Removes the data of an entity from its events, and keeps their keys, so that they do not happen again',
        examples: ['erase User 7 --dry-run', 'erase User 7 --yes'],
      },
      addBulkOptions,
    ),
    async (invocation) => {
      const { service, dataSource, output, args, options, progress, signal } = invocation;
      const [name, text] = args as [string, string];
      const entity = entityNamed(dataSource, name);
      const id = idOf(dataSource, entity, text);
      await agree(invocation, 'erase', async () => {
        const { events, discarded } = await service.erase(entity, id, { dryRun: true, signal });
        return `Erase the data of ${name} ${text} from ${count(events)} events, and discard ${count(discarded)} deliveries?`;
      });
      const { dryRun = false } = options;
      const onProgress = (done: number) => progress.show(done, 'events');
      const erased = await service.erase(entity, id, { dryRun, signal, onProgress });
      progress.end();
      const { events, discarded, running } = erased;
      const would = dryRun ? 'would be ' : '';
      output.record({ act: 'erase', dryRun, ...erased }, () =>
        output.text(`${count(events)} events ${would}erased, ${count(discarded)} deliveries ${would}discarded.`),
      );
      if (running === 0) return EXIT.done;
      output.note(`${count(running)} events keep their data, because handlers are handling them. Call it again later.`);
      return dryRun ? EXIT.done : EXIT.failed;
    },
  );
