// As much of it as the examples need.
declare module 'zod' {
  interface Schema<T> {
    readonly '~standard': {
      readonly version: 1;
      readonly vendor: string;
      readonly validate: (value: unknown) => { readonly value: T };
      readonly types?: { readonly input: T; readonly output: T };
    };
  }
  type Output<S> = S extends Schema<infer T> ? T : never;
  export const z: {
    object<S extends Record<string, Schema<any>>>(shape: S): Schema<{ [K in keyof S]: Output<S[K]> }>;
    instanceof<T>(type: new () => T): Schema<T>;
    email(): Schema<string>;
  };
}
declare module '@opentelemetry/exporter-trace-otlp-http' {
  import type { InMemorySpanExporter } from '@opentelemetry/sdk-trace-node';
  export class OTLPTraceExporter extends InMemorySpanExporter {}
}
declare module '@nestjs/config' {
  export class ConfigService {
    get<T = string>(name: string): T;
    getOrThrow<T = string>(name: string): T;
  }
}
