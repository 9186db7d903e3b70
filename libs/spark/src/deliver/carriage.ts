import type { DeliveryCarrier } from '../config/carrier.js';
import { type Handler, namesOf } from '../handler/handler.registry.js';

/** What this process does with deliveries that a carrier brings, and with all others. */
export class Carriage {
  private isFallingBack = false;

  constructor(
    readonly carrier: DeliveryCarrier | undefined,
    private readonly handlers: () => readonly Handler[],
  ) {}

  /** Whether handlers are called in this process. */
  get works(): boolean {
    return this.carrier?.works ?? true;
  }

  /** The handlers whose deliveries are carried. */
  get carried(): Handler[] {
    return this.handlers().filter((handler) => this.isCarried(handler));
  }

  /** The present and former names of all handlers whose deliveries this process claims or dispatches. */
  get names(): string[] {
    return (this.works ? this.handlers() : this.carried).flatMap(namesOf);
  }

  /** Whether a handler's deliveries are carried, except for those whose process has died. */
  isCarried({ batch, limits }: Handler): boolean {
    return this.carrier !== undefined && !batch && !limits;
  }

  /** Whether workers of this process leave a handler's deliveries to the carrier now. */
  carries(handler: Handler): boolean {
    return !this.isFallingBack && this.isCarried(handler);
  }

  /** Lets workers of this process claim what the carrier would bring, or not any more. A process that does not work never does so. */
  fallBack(on: boolean): void {
    this.isFallingBack = on && this.works;
  }
}
