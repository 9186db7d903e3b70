import { TestClock } from 'nestjs-spark/testing';

/** A clock that begins anew with each history of a test, at any instant. */
export class HistoryClock extends TestClock {
  private shift = 0;

  /** Begins a history. The tables are empty by then, as far as they have instants. */
  begin(at: number): void {
    this.shift = at - super.now();
  }

  override now(): number {
    return super.now() + this.shift;
  }

  override get date(): Date {
    return new Date(this.now());
  }

  override set(to: Date | string | number): void {
    super.set(new Date(to).getTime() - this.shift);
  }
}
