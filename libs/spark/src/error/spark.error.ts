/**
 * What every error of this library extends.
 *
 * @example
 * catch (error) { if (error instanceof SparkError) … }
 */
export class SparkError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

const brands = new WeakMap<object, symbol>();

/**
 * Lets `instanceof` know the errors of a class that another copy of this package has made: a tree of packages may hold two,
 * and a handler throws what it has imported.
 */
export function knownToAllCopies(type: typeof SparkError, name: string): void {
  const brand = Symbol.for(`nestjs-spark.error.${name}`);
  Object.defineProperty(type.prototype, brand, { value: true });
  brands.set(type, brand);
}

// Not a static method, which would change what TypeScript makes of `instanceof`. It never throws, whatever it is asked about.
Object.defineProperty(SparkError, Symbol.hasInstance, {
  value(this: object, value: unknown): boolean {
    if (typeof value !== 'object' || value === null) return false;
    try {
      if (Function.prototype[Symbol.hasInstance].call(this as never, value)) return true;
      const brand = brands.get(this);
      return brand !== undefined && brand in value;
    } catch {
      return false;
    }
  },
});

knownToAllCopies(SparkError, 'SparkError');
