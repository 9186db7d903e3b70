import { deliveryChangeCommand } from './deliveries-change.js';

/** `spark deliveries release`: delivers what a first sweep held. */
export const deliveriesReleaseCommand = () =>
  deliveryChangeCommand({
    act: 'release',
    done: 'released',
    does: 'Delivers what a first sweep held',
    examples: ['deliveries release --group challenge_ended --dry-run', 'deliveries release --all --yes'],
    states: ['held'],
    call: (service, what, options) => service.release(what, options),
  });
