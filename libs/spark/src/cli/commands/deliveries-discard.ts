import { deliveryChangeCommand } from './deliveries-change.js';

/** `spark deliveries discard`: gives up deliveries that wait or are held. */
export const deliveriesDiscardCommand = () =>
  deliveryChangeCommand({
    act: 'discard',
    done: 'discarded',
    does: 'Gives up deliveries that wait or are held',
    examples: [
      'deliveries discard --handler old-mails --dry-run',
      'deliveries discard --group challenge_ended --state held --yes',
    ],
    states: ['available', 'held'],
    call: (service, what, options) => service.discard(what, options),
  });
