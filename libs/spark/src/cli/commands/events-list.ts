import type { EventRecord } from '../../inspect/records.js';
import { onTables } from '../action.js';
import { addEventFilter, eventFilter, type EventOptions } from '../arguments/filters.js';
import { commandOf } from '../command.js';
import type { Column } from '../output/table.js';
import { addPageOptions, type PageOptions, printPages } from './pages.js';

/** `spark events list`: events, the latest first, without their contexts. */
export const eventsListCommand = () =>
  onTables<EventOptions & PageOptions>(
    commandOf(
      {
        usage: 'list',
        does: 'Lists events, the latest first',
        examples: ['events list --entity Challenge --id 7', 'events list --group challenge_ended --from -2d --json'],
      },
      (command) => addPageOptions(addEventFilter(command)),
    ),
    async (invocation) => {
      const { service, dataSource, options } = invocation;
      const filter = eventFilter(options, dataSource);
      await printPages(invocation, { columns: EVENTS, none: 'No events.' }, async (page) => {
        const { records, ...rest } = await service.events(filter, page);
        return { ...rest, records: records.map(withoutContext) };
      });
    },
  );

function withoutContext(record: EventRecord): Omit<EventRecord, 'context'> {
  const { context, ...rest } = record;
  return context === undefined ? rest : { ...rest };
}

const EVENTS: readonly Column<Omit<EventRecord, 'context'>>[] = [
  { head: 'RECORDED', of: ({ recorded }) => recorded },
  { head: 'KEY', of: ({ key }) => key },
  { head: 'GROUP', of: ({ group }) => group },
  { head: 'ENTITY', of: ({ entity }) => entity },
  { head: 'ID', of: ({ entityId }) => entityId },
  { head: 'SOURCE', of: ({ source }) => source },
];
