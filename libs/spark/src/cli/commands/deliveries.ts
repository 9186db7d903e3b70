import { groupOf } from '../command.js';
import { deliveriesDiscardCommand } from './deliveries-discard.js';
import { deliveriesListCommand } from './deliveries-list.js';
import { deliveriesReleaseCommand } from './deliveries-release.js';
import { deliveriesRetryCommand } from './deliveries-retry.js';
import { deliveriesShowCommand } from './deliveries-show.js';

/** `spark deliveries`: the deliveries of events to handlers. */
export const deliveriesCommands = () =>
  groupOf('deliveries', 'Deliveries of events to handlers', [
    deliveriesListCommand(),
    deliveriesShowCommand(),
    deliveriesRetryCommand(),
    deliveriesDiscardCommand(),
    deliveriesReleaseCommand(),
  ]);
