/**
 * The base class of all errors of this library.
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
 * Makes `instanceof` accept errors of a class that another copy of this package has created. An application may have two copies
 * installed, and a handler throws the class that it has imported.
 */
export function knownToAllCopies(type: typeof SparkError, name: string): void {
  const brand = Symbol.for(`nestjs-spark.error.${name}`);
  Object.defineProperty(type.prototype, brand, { value: true });
  brands.set(type, brand);
}

// This is not a static method, because that would change how TypeScript narrows by `instanceof`. It never throws.
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
