import { onTables } from '../action.js';
import { addDeliveryFilter, deliveryFilter, type DeliveryOptions } from '../arguments/filters.js';
import { commandOf } from '../command.js';
import { DELIVERIES } from './delivery-columns.js';
import { addPageOptions, type PageOptions, printPages } from './pages.js';

/** `spark deliveries list`: deliveries, those of the latest events first. */
export const deliveriesListCommand = () =>
  onTables<DeliveryOptions & PageOptions>(
    commandOf(
      {
        usage: 'list',
        does: 'Lists deliveries, those of the latest events first',
        examples: [
          'deliveries list --state discarded --error timeout',
          'deliveries list --handler challenge-mails --json',
        ],
      },
      (command) => addPageOptions(addDeliveryFilter(command)),
    ),
    async (invocation) => {
      const { service, dataSource, options } = invocation;
      const filter = deliveryFilter([], options, dataSource);
      await printPages(invocation, { columns: DELIVERIES, none: 'No deliveries.' }, (page) =>
        service.deliveries(filter, page),
      );
    },
  );
