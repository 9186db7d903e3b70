import { Injectable } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import { RequestScopedError } from '../error/request-scoped.error.js';
import { type AlertMetadata, ON_SPARK_ALERT } from '../alert/on-spark-alert.decorator.js';
import { EVENT_SOURCE, type SourceMetadata } from '../source/event-source.decorator.js';
import { GROUP_HANDLER, type HandlerMetadata } from '../handler/group-handler.decorator.js';
import { type InterceptorMetadata, SPARK_INTERCEPTOR } from '../interceptor/spark-interceptor.decorator.js';
import { MissingMethodError } from '../error/missing-method.error.js';
import { metadataOf } from '../common/decorator-metadata.js';

/** A decorated method of a provider, and the arguments of the decorator. */
export interface DecoratedMethod<M> {
  readonly given: M;
  /** `Class.method`, for names and messages. */
  readonly where: string;
  readonly call: (...args: any[]) => any;
  /** The text of the method. */
  readonly text: string;
  /** Whether it is declared `async`. */
  readonly isAsync: boolean;
}

/** A decorated provider. */
export interface DecoratedClass<M> {
  readonly given: M;
  /** The name of the class. */
  readonly where: string;
  readonly instance: object;
}

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];
type Method = (...args: any[]) => any;

/** Finds all classes and methods of providers and controllers that have a decorator of Spark. Each is returned once. */
@Injectable()
export class DecoratedMethods {
  constructor(private readonly discovery: DiscoveryService) {}

  sources(): DecoratedMethod<SourceMetadata>[] {
    return this.find(EVENT_SOURCE, 'EventSource', 'events');
  }

  handlers(): DecoratedMethod<HandlerMetadata>[] {
    return this.find(GROUP_HANDLER, 'GroupHandler', 'handle');
  }

  /** The methods that get alerts. Only methods have this decorator, so no class needs one. */
  alertListeners(): DecoratedMethod<AlertMetadata>[] {
    return this.find(ON_SPARK_ALERT, 'OnSparkAlert', '');
  }

  /** The instances of the providers with this token. */
  instancesOf<T extends object>(token: symbol): T[] {
    const wrappers = this.discovery.getProviders().filter((wrapper) => wrapper.token === token);
    return [...new Set(wrappers.map(({ instance }) => instance as T))];
  }

  /** The interceptors, in the order in which they are listed. */
  interceptors(): DecoratedClass<InterceptorMetadata>[] {
    const classOf = ({ constructor }: object) =>
      typeof constructor !== 'function'
        ? []
        : metadataOf<InterceptorMetadata>(SPARK_INTERCEPTOR, constructor).map((given) => ({
            given,
            where: constructor.name,
          }));
    return this.decorated(classOf).map(([{ given, where }, instance]) => ({ given, where, instance }));
  }

  private find<M>(token: symbol, decorator: string, classMethod: string): DecoratedMethod<M>[] {
    const found = this.decorated((prototype) => decoratedOf<M>(token, decorator, classMethod, prototype));
    return found.map(([{ given, where, method }, instance]) => {
      return { given, where, call: method.bind(instance), text: textOf(method), isAsync: isAsync(method) };
    });
  }

  /** The decorated methods of each provider and controller, with the instance. Throws RequestScopedError. */
  private decorated<T extends { readonly where: string }>(
    decoratedIn: (prototype: object) => readonly T[],
  ): [decorated: T, instance: object][] {
    const found: [T, object][] = [];
    const seen = new Set<unknown>();
    for (const wrapper of [...this.discovery.getProviders(), ...this.discovery.getControllers()]) {
      const prototype = wrapper.isAlias ? undefined : prototypeOf(wrapper);
      const all = prototype ? decoratedIn(prototype) : [];
      if (!prototype || all.length === 0) continue;
      // A class that two modules list has two instances, but is one source. An instance may be provided twice.
      const identities = [wrapper.instance, ...(wrapper.token === prototype.constructor ? [wrapper.token] : [])];
      const isNew = !identities.some((identity) => seen.has(identity));
      for (const identity of identities) seen.add(identity);
      for (const one of isNew ? all : []) {
        if (!isSingleton(wrapper)) throw new RequestScopedError(one.where);
        found.push([one, wrapper.instance as object]);
      }
    }
    return found;
  }
}

const isSingleton = (wrapper: Wrapper): boolean => wrapper.isDependencyTreeStatic() && !wrapper.isTransient;

function prototypeOf(wrapper: Wrapper): object | undefined {
  const { instance, metatype, inject, token } = wrapper;
  if (typeof instance === 'object' && instance !== null) return Object.getPrototypeOf(instance) as object;
  // A request-scoped provider has no instance yet, only its class, or its token if a factory creates it.
  const type = inject ? token : metatype;
  return typeof type === 'function' && !isSingleton(wrapper) ? (type.prototype as object) : undefined;
}

function decoratedOf<M>(
  token: symbol,
  decorator: string,
  classMethod: string,
  prototype: object,
): { given: M; where: string; method: Method }[] {
  const { constructor } = prototype;
  const decorated: { given: M; where: string; method: Method }[] = [];
  for (const [key, method] of methodsOf(prototype)) {
    for (const given of metadataOf<M>(token, method))
      decorated.push({ given, where: `${constructor.name}.${String(key)}`, method });
  }
  for (const given of typeof constructor === 'function' ? metadataOf<M>(token, constructor) : []) {
    const method = (prototype as Record<string, unknown>)[classMethod];
    if (typeof method !== 'function') throw new MissingMethodError(constructor.name, decorator, classMethod);
    decorated.push({ given, where: `${constructor.name}.${classMethod}`, method: method as Method });
  }
  return decorated;
}

const textOf = (method: Method): string => Function.prototype.toString.call(method);

const isAsync = (method: Method): boolean => method.constructor.name.startsWith('Async');

/** The methods of an instance, also those named by symbols. Those of its own class come before inherited ones. */
function methodsOf(prototype: object): Map<string | symbol, Method> {
  const methods = new Map<string | symbol, Method>();
  for (
    let place: object | null = prototype;
    place && place !== Object.prototype;
    place = Object.getPrototypeOf(place)
  ) {
    for (const key of Reflect.ownKeys(place)) {
      const value: unknown = Object.getOwnPropertyDescriptor(place, key)?.value;
      if (key !== 'constructor' && typeof value === 'function' && !methods.has(key)) methods.set(key, value as Method);
    }
  }
  return methods;
}
