import type { PlannedGroup, PlannedProblems, PlanSummary } from '../../inspect/plan-summary.js';
import type { Planned } from '../../inspect/planned.js';
import type { Output } from '../output/output.js';
import { count } from '../output/progress.js';
import { type Column, firstLine } from '../output/table.js';

/** The columns of what a plan lists. */
export const PLANNED: readonly Column<Planned>[] = [
  { head: 'AT', of: (one) => ('at' in one ? one.at : undefined) },
  { head: 'OUTCOME', of: ({ outcome }) => outcome },
  { head: 'KEY', of: (one) => ('key' in one ? one.key : undefined) },
  { head: 'ENTITY', of: ({ entity }) => entity },
  { head: 'ID', of: ({ id }) => id },
  { head: 'SOURCE', of: (one) => ('source' in one ? one.source : undefined) },
  { head: 'HANDLERS', of: (one) => ('handlers' in one ? one.handlers.join(', ') : undefined) },
  { head: 'REASON', of: (one) => ('reason' in one ? firstLine(one.reason) : undefined) },
];

/** The result of `plan --check`. */
export interface Check {
  /** How many deliveries would go out: those of the events up to the end of the plan, without those that would be held or discarded. */
  readonly deliveries: number;
  readonly maxNew: number;
  readonly passed: boolean;
}

/** Compares a plan with a limit. A plan with problems is not complete, so it does not pass. */
export function checkOf({ total, problems }: PlanSummary, maxNew: number): Check {
  const deliveries = total.deliveries - total.held;
  return { deliveries, maxNew, passed: deliveries <= maxNew && problems.length === 0 };
}

/** Prints the counts of a plan for people. */
export function printSummary(output: Output, summary: PlanSummary, check: Check | undefined): void {
  const { at, read, total, groups, problems } = summary;
  output.details({
    'up to': at,
    'entities read': read,
    'events now': total.enter,
    'events later': total.later,
    'events after that': total.schedule,
    'deliveries that go out': total.deliveries - total.held,
    'held or discarded': total.held,
  });
  output.section('Groups', GROUPS, groups);
  output.section('Problems', PROBLEMS, problems);
  if (check) output.text(`\n${verdictOf(check, problems)}`);
}

function verdictOf({ deliveries, maxNew, passed }: Check, problems: readonly PlannedProblems[]): string {
  const most = `--max-new is ${count(maxNew)}`;
  if (passed) return `The check has passed: ${most}.`;
  if (deliveries > maxNew) return `The check has failed: ${count(deliveries)} deliveries would go out, and ${most}.`;
  return `The check has failed: the plan has ${count(problems.length)} kinds of problems, so it is not complete.`;
}

const GROUPS: readonly Column<PlannedGroup>[] = [
  { head: 'SOURCE', of: ({ source }) => source },
  { head: 'GROUP', of: ({ group }) => group },
  { head: 'NOW', of: ({ enter }) => enter },
  { head: 'LATER', of: ({ later }) => later },
  { head: 'AFTER', of: ({ schedule }) => schedule },
  { head: 'FIRST', of: ({ first }) => first },
  { head: 'LAST', of: ({ last }) => last },
  { head: 'STATE', of: ({ deliveries }) => deliveries },
  {
    head: 'DELIVERIES',
    of: ({ handlers }) => handlers.map(({ handler, deliveries }) => `${handler} ${deliveries}`).join(', '),
  },
];

const PROBLEMS: readonly Column<PlannedProblems>[] = [
  { head: 'OUTCOME', of: ({ outcome }) => outcome },
  { head: 'SOURCE', of: ({ source }) => source },
  { head: 'COUNT', of: ({ count: times }) => times },
  { head: 'ID', of: ({ sample }) => sample.id },
  { head: 'REASON', of: ({ sample }) => firstLine(sample.reason) },
];
