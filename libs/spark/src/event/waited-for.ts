import type { DataSource } from 'typeorm';
import { runIn, type Waited, workContext } from './work-context.js';

/** Runs a source or handler that Spark waits for, and remembers that: such code must not wait for Spark. */
export function waitedFor<T>(what: string, dataSource: DataSource, work: () => T): T {
  const call: Waited = { what, dataSource, isOver: false };
  const end = () => void (call.isOver = true);
  let isWaiting = false;
  try {
    const { depth, cause } = workContext();
    const result = runIn({ depth, cause, waited: call }, work);
    isWaiting = result instanceof Promise;
    if (result instanceof Promise) void result.then(end, end);
    return result;
  } finally {
    if (!isWaiting) end();
  }
}

/** The source or handler that called the present code, if Spark waits for it and it belongs to this DataSource. */
export function waitingCall(dataSource: DataSource): string | undefined {
  const call = workContext().waited;
  return call && !call.isOver && call.dataSource === dataSource ? call.what : undefined;
}
