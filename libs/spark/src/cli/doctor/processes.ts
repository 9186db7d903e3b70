import { at, type Found, listed, ok, warning } from './finding.js';
import type { Patient } from './patient.js';

/** Whether processes handle deliveries. */
export async function checkProcesses(patient: Patient): Promise<Found[]> {
  const { workers, backlog } = await patient.health();
  if (workers > 0) return [ok(`${workers} ${workers === 1 ? 'process handles' : 'processes handle'} deliveries.`)];
  const [oldest] = backlog.toSorted((a, b) => a.since.getTime() - b.since.getTime());
  const waiting = oldest ? ` Deliveries are due since ${at(oldest.since)}.` : '';
  return [
    warning(
      `No process handles deliveries.${waiting}`,
      'Start a process whose worker is on and that has handlers. If one runs, its log says why it has no lease.',
    ),
  ];
}

/** Whether sweeps have begun that no process goes on with. */
export async function checkSweeps(patient: Patient): Promise<Found[]> {
  const left = (await patient.sources()).filter(({ sweeping, paused }) => sweeping && !sweeping.running && !paused);
  if (left.length === 0) return [ok('No sweep was left unfinished.')];
  const names = left.map(({ source, sweeping }) => `${source}, begun at ${at(sweeping!.since)}`);
  return [
    warning(
      `Sweeps have begun, and no process goes on with them: ${listed(names)}.`,
      'The next scheduled sweep goes on there. Without a schedule, call SparkService.sweep().',
    ),
  ];
}
