import { internalsOf } from '../database/typeorm-internals.js';
import type { QueryRunner } from 'typeorm';
import { Capture } from '../record/capture.js';
import type { RecordResult } from '../record/recorder.js';

/** What Spark knows of a transaction under way: one frame for it, and one for each savepoint in it. */
export class TransactionFrames {
  readonly frames = [new Capture()];
  /** The recording at the end, awaited before a rollback that overtakes it. */
  recording: Promise<void> | undefined;
  /** What came of it. */
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

  /** A savepoint was released: what it changed is part of what is round it. */
  release(): void {
    const inner = this.frames.pop()!;
    this.top.merge(inner);
  }

  /** A savepoint was rolled back: what it changed never was. */
  drop(): void {
    this.frames.pop();
  }
}

/** The frames of each transaction. By query runner: managers come and go within one. */
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
