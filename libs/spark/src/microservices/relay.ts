import { BatchError, DiscardDelivery, RetryLater, type SparkEvent } from '../index.js';
import { type CloudEvent, cloudEventOf, type CloudEventSettings } from './cloud-event.js';
import { roundsOf } from './rounds.js';
import type { Send } from './senders.js';

/** How much longer an event waits than the earlier one of its entity, in milliseconds, and how long at least and at most. */
const [BEHIND, SOONEST, LATEST] = [50, 100, 60_000];

/** What a relay needs to send. */
export interface RelayParts {
  readonly settings: CloudEventSettings;
  readonly send: Send;
  /** With `orderBy: 'entity'`, returns which of these events would overtake others, and when those are due. Undefined: no order. */
  readonly overtaking: ((keys: readonly string[]) => Promise<ReadonlyMap<string, number>>) | undefined;
}

/** Sends the events of one call of a relay's handler. Throws BatchError for those that were not sent. */
export async function relay(events: readonly SparkEvent[], parts: RelayParts, signal: AbortSignal): Promise<void> {
  const call = new Call(parts);
  const waits = await parts.overtaking?.(events.map(({ key }) => key));
  for (const [key, time] of waits ?? []) call.failed.set(key, waiting(time));
  const rest = events.filter(({ key }) => !waits?.has(key)).sort((a, b) => Number(a.id) - Number(b.id));
  for (const round of roundsOf(rest, call.entityOf)) {
    // Other processes may have taken the events over.
    signal.throwIfAborted();
    await call.send(round, signal);
  }
  if (call.failed.size > 0) throw new BatchError(call.failed);
}

/** The rounds of one call, and what has failed so far. */
class Call {
  readonly failed = new Map<string, unknown>();
  /** The entities of which an event has failed. Their later events wait for it, unless it is given up. */
  private readonly stuck = new Set<string>();

  constructor(private readonly parts: RelayParts) {}

  /** The entity by which an event is ordered. Without an order there is none, so that all events are in one round. */
  readonly entityOf = ({ subject }: SparkEvent): string | undefined =>
    this.parts.overtaking && subject && `${subject.entity}/${subject.id}`;

  async send(round: readonly SparkEvent[], signal: AbortSignal): Promise<void> {
    const open = new Map<string, SparkEvent>();
    const sent: CloudEvent[] = [];
    for (const event of round) {
      try {
        if (this.stuck.has(this.entityOf(event) ?? '')) throw waiting(0);
        sent.push(cloudEventOf(event, this.parts.settings));
        open.set(event.key, event);
      } catch (error) {
        this.fail(event, error);
      }
    }
    if (sent.length === 0) return;
    const all = (error: unknown) => new Map(sent.map(({ id }) => [id, error]));
    const errors = await this.parts.send(sent, signal).catch(all);
    for (const [key, error] of errors) this.fail(open.get(key)!, error);
  }

  private fail(event: SparkEvent, error: unknown): void {
    this.failed.set(event.key, error);
    const entity = this.entityOf(event);
    if (entity !== undefined && !(error instanceof DiscardDelivery)) this.stuck.add(entity);
  }
}

function waiting(milliseconds: number): RetryLater {
  const delay = Math.min(LATEST, Math.max(SOONEST, milliseconds + BEHIND));
  return new RetryLater(delay, 'an earlier event of its entity is not delivered yet');
}
