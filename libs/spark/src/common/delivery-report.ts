/** How an attempt to deliver ended. */
export interface DeliveryReport {
  /** As in `HandlerScope.deliveryId`. */
  readonly deliveryId: string;
  /** The event's key. */
  readonly key: string;
  readonly group: string;
  readonly handler: string;
  /** `available` means that the attempt failed and will be retried. */
  readonly state: 'completed' | 'available' | 'discarded' | 'skipped';
  /** The number of the attempt: 1 is the first. */
  readonly attempt: number;
  /** How long the attempt took, in milliseconds. */
  readonly durationMs: number;
  /** Why the attempt failed, or why the delivery was discarded or skipped. */
  readonly error?: string;
}
