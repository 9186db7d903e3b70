/** Does nothing for so many milliseconds, and lets nothing else of this process happen. It leaves the CPU to other processes. */
export function blockProcess(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
