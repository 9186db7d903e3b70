import type { AttemptRecord, DeliveryRecord } from '../../inspect/records.js';
import { onTables } from '../action.js';
import { deliveryIdIn } from '../arguments/filters.js';
import { commandOf } from '../command.js';
import { CommandError } from '../command.error.js';
import type { Output } from '../output/output.js';

/** `spark deliveries show`: one delivery with its failed attempts. */
export const deliveriesShowCommand = () =>
  onTables(
    commandOf(
      {
        usage: 'show <id>',
        does: 'Shows a delivery with its failed attempts',
        examples: ['deliveries show 42'],
      },
      (command) => command,
    ),
    async ({ service, output, args }) => {
      const deliveryId = deliveryIdIn(args[0]!);
      const { records } = await service.deliveries({ deliveryId });
      const [delivery] = records;
      if (!delivery) throw new CommandError(`There is no delivery with the id ${deliveryId}.`);
      const attempts = await service.attempts(deliveryId);
      output.record({ ...delivery, attempts }, () => print(output, delivery, attempts));
    },
  );

function print(output: Output, { event, error, ...details }: DeliveryRecord, attempts: readonly AttemptRecord[]): void {
  const { key, group, entity, entityId, recorded } = event;
  output.details({ ...details, key, group, entity, entityId, recorded });
  if (error !== undefined) output.text(`\n${error}`);
  for (const { attempt, started, host, pid, durationMs, error: thrown } of attempts)
    output.text(`\nAttempt ${attempt}, ${started.toISOString()}, ${host} ${pid}, ${durationMs} ms: ${thrown}`);
}
