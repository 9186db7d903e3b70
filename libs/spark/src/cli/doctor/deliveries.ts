import type { HeldGroup, RecentDiscards } from '../../inspect/health.js';
import type { Orphans } from '../../store/delivery-admin.js';
import { count } from '../output/progress.js';
import { at, error, type Found, listed, ok, shellWord, warning } from './finding.js';
import type { Patient } from './patient.js';

// `health` counts no further.
const MOST = 1_000;
const many = (deliveries: number): string =>
  `${count(deliveries)}${deliveries >= MOST ? ' or more' : ''} ${deliveries === 1 ? 'delivery' : 'deliveries'}`;

/** Whether deliveries wait for handlers that no process has. */
export async function checkOrphans(patient: Patient): Promise<Found[]> {
  const { orphans } = await patient.health();
  return orphans.length === 0 ? [ok('No delivery waits for a handler that no process has.')] : orphans.map(ofOrphans);
}

const ofOrphans = ({ handler, deliveries, since, lastSeen }: Orphans): Found =>
  error(
    `${many(deliveries)} of ${handler} ${deliveries === 1 ? 'waits' : 'wait'} since ${at(since)}, and no process has this handler` +
      `${lastSeen ? ` since ${at(lastSeen)}` : ''}.`,
    `Start a process that has it, name it among the aliases of its successor, or give them up: ` +
      `spark deliveries discard --handler ${shellWord(handler)}`,
  );

/** Whether deliveries are held, or were discarded of late. */
export async function checkDeliveries(patient: Patient): Promise<Found[]> {
  const { held, discarded } = await patient.health();
  const found = [...held.map(ofHeld), ...ofDiscarded(discarded)];
  return found.length > 0 ? found : [ok('No delivery is held, and none was discarded within an hour.')];
}

const ofHeld = ({ group, deliveries, since }: HeldGroup): Found =>
  warning(
    `${many(deliveries)} of the group ${group} ${deliveries === 1 ? 'is' : 'are'} held since ${at(since)}.`,
    `Deliver them, or give them up: spark deliveries release --group ${shellWord(group)}, or discard it`,
  );

function ofDiscarded(discarded: readonly RecentDiscards[]): Found[] {
  if (discarded.length === 0) return [];
  const each = discarded.map(({ handler, deliveries }) => `${handler} (${count(deliveries)})`);
  return [
    warning(
      `Deliveries were discarded within an hour: ${listed(each)}.`,
      'See why: spark deliveries list --state discarded. When the cause is mended: spark deliveries retry --handler …',
    ),
  ];
}
