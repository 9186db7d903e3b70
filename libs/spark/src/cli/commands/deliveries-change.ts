import type { DeliveryState } from '../../database/delivery-states.js';
import type { SparkService } from '../../spark.service.js';
import type { RedeliveryOptions } from '../../store/bulk-run.js';
import type { All, DeliveryRecordFilter } from '../../store/record-filter.js';
import { onTables } from '../action.js';
import { addDeliveryFilter, deliveryFilter, type DeliveryOptions } from '../arguments/filters.js';
import { commandOf, type Described } from '../command.js';
import { addBulkOptions, type BulkFlags, mustSelect, runBulk } from './bulk.js';

/** A command that changes deliveries. */
export interface DeliveryChange extends Omit<Described, 'usage'> {
  readonly act: 'retry' | 'discard' | 'release';
  readonly done: string;
  /** The states that it changes. */
  readonly states: readonly DeliveryState[];
  readonly call: (
    service: SparkService,
    what: DeliveryRecordFilter | All,
    options: RedeliveryOptions,
  ) => Promise<number>;
}

interface Options extends DeliveryOptions, BulkFlags {
  readonly all?: true;
}

/** Creates a command that changes the deliveries that ids or a filter select. */
export const deliveryChangeCommand = ({ act, done, states, call, ...described }: DeliveryChange) =>
  onTables<Options>(
    commandOf({ ...described, usage: `${act} [ids...]` }, (command) =>
      addBulkOptions(addDeliveryFilter(command, states).option('--all', 'all of them')),
    ),
    async (invocation) => {
      const { service, dataSource, args, options } = invocation;
      const filter = deliveryFilter(args, options, dataSource);
      mustSelect(filter, options, act);
      const what = options.all ? ({ all: true } as const) : filter;
      await runBulk(invocation, { act, done, what: 'deliveries' }, (bulk) => call(service, what, bulk));
    },
  );
