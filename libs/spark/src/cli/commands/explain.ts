import { printable } from '../../error/text-of.js';
import type { Explanation } from '../../inspect/explanation.js';
import { onApplication } from '../action.js';
import { entityNamed, idOf } from '../arguments/filters.js';
import { commandOf } from '../command.js';
import { EXIT } from '../exit-codes.js';
import type { Output } from '../output/output.js';

/** `spark explain`: the past and the future of one entity, and why. */
export const explainCommand = () =>
  onApplication(
    commandOf(
      {
        usage: 'explain <entity> <id>',
        does: 'Says of one entity what happened, what will happen, and why something did not',
        examples: ['explain Challenge 7', 'explain Seat A,12 --json'],
      },
      (command) => command,
    ),
    () => ({ registersSources: false }),
    async ({ service, dataSource, output, args }) => {
      const [name, id] = args as [string, string];
      const entity = entityNamed(dataSource, name);
      const explanation = await service.explain(entity, idOf(dataSource, entity, id));
      output.record(explanation, () => print(output, explanation));
      return isKnown(explanation) ? EXIT.done : EXIT.failed;
    },
  );

/** Whether there is anything to explain. */
const isKnown = ({ exists, events, rechecks }: Explanation): boolean => exists || events.length + rechecks.length > 0;

function print(output: Output, { entity, id, exists, events, rechecks, words }: Explanation): void {
  output.details({
    entity,
    id,
    row: exists ? 'exists' : 'does not exist',
    events: events.length,
    rechecks: rechecks.map(({ due }) => due.toISOString()).join(', ') || undefined,
  });
  output.text('');
  // A key may hold anything, also new lines.
  for (const sentence of words) output.text(printable(sentence));
}
