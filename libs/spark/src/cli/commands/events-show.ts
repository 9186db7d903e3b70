import { onTables } from '../action.js';
import { commandOf } from '../command.js';
import { CommandError } from '../command.error.js';
import { DELIVERIES_OF_EVENT } from './delivery-columns.js';

const MOST = 1_000;

/** `spark events show`: one event with its context and its deliveries. */
export const eventsShowCommand = () =>
  onTables(
    commandOf(
      {
        usage: 'show <key>',
        does: 'Shows an event with its context and its deliveries',
        examples: ['events show challenge_ended_7'],
      },
      (command) => command,
    ),
    async ({ service, output, args }) => {
      const key = args[0]!;
      const { records: events } = await service.events({ key });
      const [event] = events;
      if (!event) throw new CommandError(`There is no event with the key ${JSON.stringify(key)}.`);
      const { records: deliveries } = await service.deliveries({ key }, { limit: MOST });
      output.record({ ...event, deliveries }, () => {
        const { metadata, ...details } = event;
        output.details({ ...details, metadata: metadata && JSON.stringify(metadata) });
        output.section('Deliveries', DELIVERIES_OF_EVENT, deliveries);
      });
    },
  );
