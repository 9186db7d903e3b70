import type { CloudEvent } from './cloud-event.js';

/** How a relay sends by a ClientProxy. */
export interface Transport {
  /** Why the transport may lose events without a word, and what to do. Undefined if it acknowledges each event. */
  readonly loses?: string;
  /** Is called right after each `connect` of the client has begun. */
  onConnecting?(): void;
  /** Sends events under their patterns. Returns the errors of those that were not acknowledged, by id. */
  send(events: readonly CloudEvent[], patternOf: (event: CloudEvent) => string): Promise<Map<string, unknown>>;
}
