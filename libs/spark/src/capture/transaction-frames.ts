import { internalsOf } from '../database/typeorm-internals.js';
import type { QueryRunner } from 'typeorm';
import { Capture } from '../record/capture.js';
import type { RecordResult } from '../record/recorder.js';

/** The frames of an open transaction: one capture for the transaction, and one for each savepoint in it. */
export class TransactionFrames {
  readonly frames = [new Capture()];
  /** The recording at the end. A rollback that comes meanwhile awaits it. */
  recording: Promise<void> | undefined;
  /** The result of the recording. */
  recorded: RecordResult | undefined;

  get top(): Capture {
    return this.frames.at(-1)!;
  }

  get outermost(): boolean {
    return this.frames.length === 1;
  }

  push(): void {
    this.frames.push(new Capture());
  }

  /** After a savepoint was released: its changes become part of the outer frame. */
  release(): void {
    const inner = this.frames.pop()!;
    this.top.merge(inner);
  }

  /** After a savepoint was rolled back: its changes are dropped. */
  drop(): void {
    this.frames.pop();
  }
}

/** The frames of each transaction, by query runner: a transaction has one query runner and may have several managers. */
export class Frames {
  private readonly byRunner = new WeakMap<QueryRunner, TransactionFrames>();

  of(runner: QueryRunner): TransactionFrames | undefined {
    return this.byRunner.get(runner);
  }

  begin(runner: QueryRunner): void {
    const open = this.byRunner.get(runner);
    if (open && internalsOf(runner).transactionDepth > 1) open.push();
    else this.byRunner.set(runner, new TransactionFrames());
  }

  end(runner: QueryRunner): void {
    this.byRunner.delete(runner);
  }
}
