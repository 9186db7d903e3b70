import type { SparkService } from 'nestjs-spark';

type Call = (...given: unknown[]) => unknown;

/** A SparkService that calls the same method with the same arguments only once. It is for reads of one moment, by one page in its variants. */
export function sharedReads(spark: SparkService): SparkService {
  const results = new Map<string, unknown>();
  return new Proxy(spark, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      return (...given: unknown[]) => {
        const call = JSON.stringify([String(name), given]);
        if (!results.has(call)) results.set(call, (member as Call).apply(target, given));
        return results.get(call);
      };
    },
  });
}
