import { deliveryChangeCommand } from './deliveries-change.js';

/** `spark deliveries retry`: delivers again what was discarded, and at once what waits for its next attempt. */
export const deliveriesRetryCommand = () =>
  deliveryChangeCommand({
    act: 'retry',
    done: 'retried',
    does: 'Makes discarded deliveries available again, and waiting ones due at once',
    examples: ['deliveries retry 42 43', 'deliveries retry --handler challenge-mails --error ECONNREFUSED --yes'],
    states: ['discarded', 'available'],
    call: (service, what, options) => service.retry(what, options),
  });
