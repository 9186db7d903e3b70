import { groupOf } from '../command.js';
import { eventsListCommand } from './events-list.js';
import { eventsShowCommand } from './events-show.js';

/** `spark events`: the ledger. */
export const eventsCommands = () =>
  groupOf('events', 'Events in the ledger', [eventsListCommand(), eventsShowCommand()]);
