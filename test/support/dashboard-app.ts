import type { DynamicModule, INestApplication, LoggerService, Provider } from '@nestjs/common';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test, type TestingModule } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SPARK_CLOCK, type SparkClock, SparkModule, type SparkModuleOptions, SparkService } from 'nestjs-spark';
import type { SparkDashboardOptions } from 'nestjs-spark-dashboard';
import request from 'supertest';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { expect } from 'vitest';
import { databases, type TestDatabase } from './databases.js';

export type Framework = 'Express' | 'Fastify';

/** Each database with Express, and one with Fastify, for `describe.each`. */
export const dashboardArms = [
  ...databases.map((database) => ({ ...database, framework: 'Express' as const })),
  { ...databases[0]!, framework: 'Fastify' as const },
];

/** The access that a request asks for in the header `x-access`, as JSON. Default: all. */
export const accessByHeader: SparkDashboardOptions['access'] = ({ headers }) =>
  JSON.parse(headers['x-access'] ?? '"all"');

export interface DashboardAppOptions {
  readonly database: TestDatabase;
  readonly framework: Framework;
  readonly entities: DataSourceOptions['entities'];
  /** The dashboards. */
  readonly dashboards: DynamicModule[];
  readonly imports?: DynamicModule[];
  readonly providers?: Provider[];
  readonly controllers?: DynamicModule['controllers'];
  readonly spark?: SparkModuleOptions;
  readonly clock?: SparkClock;
  /** More options of the DataSource. */
  readonly dataSource?: object;
  /** Changes the application before it is initialised. */
  readonly configure?: (app: INestApplication) => void;
}

/** An application with dashboards that is asked over HTTP. */
export interface DashboardApp {
  readonly spark: SparkService;
  readonly dataSource: DataSource;
  readonly logs: string[];
  get(path: string, headers?: Record<string, string>): Promise<request.Response>;
  /** Sends what a form of a page of the dashboard would send. An empty header is not sent. */
  post(path: string, headers?: Record<string, string>): Promise<request.Response>;
  /** Opens a port, and returns the address of the application. */
  listen(): Promise<string>;
  close(): Promise<void>;
}

class TestModule {}

export async function startDashboardApp(options: DashboardAppOptions): Promise<DashboardApp> {
  const { database, entities, dashboards, imports = [], providers = [], controllers = [] } = options;
  const logs: string[] = [];
  const log = (level: string) => (message: unknown) => void logs.push(`${level} ${String(message)}`);
  const logger: LoggerService = { log: log('log'), error: log('error'), warn: log('warn'), debug: log('debug') };
  const module: DynamicModule = {
    module: TestModule,
    imports: [
      TypeOrmModule.forRoot({ ...database.options, entities, synchronize: true, ...options.dataSource }),
      SparkModule.forRoot(options.spark),
      ...imports,
      ...dashboards,
    ],
    controllers,
    providers,
  };
  let building = Test.createTestingModule({ imports: [module] }).setLogger(logger);
  if (options.clock) building = building.overrideProvider(SPARK_CLOCK).useValue(options.clock);
  const app = createApp(await building.compile(), options.framework, logger);
  options.configure?.(app);
  await app.init();
  if (options.framework === 'Fastify') await (app as NestFastifyApplication).getHttpAdapter().getInstance().ready();
  const server = () => request(app.getHttpServer());
  return {
    spark: app.get(SparkService),
    dataSource: app.get(DataSource),
    logs,
    get: (path, headers = {}) => server().get(path).set(headers),
    post: (path, headers = {}) => {
      const all = Object.entries({ 'Sec-Fetch-Site': 'same-origin', ...headers }).filter(([, value]) => value !== '');
      return server().post(path).type('form').set(Object.fromEntries(all));
    },
    listen: async () => {
      await app.listen(0, '127.0.0.1');
      return (await app.getUrl()).replace('[::1]', '127.0.0.1');
    },
    close: () => app.close(),
  };
}

function createApp(compiled: TestingModule, framework: Framework, logger: LoggerService): INestApplication {
  if (framework === 'Express') return compiled.createNestApplication({ logger });
  return compiled.createNestApplication<NestFastifyApplication>(new FastifyAdapter(), { logger });
}

/** Checks what every page keeps: the policy, one module and no other script, no inline style, no address outside, and escaped text. Returns its HTML. */
export function checkedPage(response: request.Response, status = 200): string {
  const { headers, text } = response;
  expect({ status: response.status, text: response.status === status ? '' : text }).toEqual({ status, text: '' });
  expect(headers['content-type']).toBe('text/html; charset=utf-8');
  expect(headers['content-security-policy']).toMatch(
    /^default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img/,
  );
  expect(headers['content-security-policy']).not.toMatch(/unsafe|\*/);
  expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  expect(text).toMatch(/^<!doctype html>/);
  const [, ...others] = text.split(/<script type="module" src="script\.js\?v=[0-9a-f]{12}"><\/script>/);
  expect(others).toHaveLength(1);
  expect(others[0]).not.toMatch(/<script|<img|<style|<iframe|javascript:| style="| on\w+="/i);
  for (const [, target] of text.matchAll(/ (?:href|action|src)="([^"]*)"/g))
    expect(target).toMatch(/^(#main|data:,|\.\/|[a-z]+(\.css|\.js)?(\?[^"]*)?)$/);
  return text;
}

const NAMES: Record<string, string> = { lt: '<', gt: '>', quot: '"', amp: '&', '#39': "'", '#96': '`' };

const decoded = (text: string) => text.replace(/&(\w+|#\d+);/g, (all, name: string) => NAMES[name] ?? all);

/** The text of a page as a person reads it, with single spaces. */
export const textOf = (page: string): string => decoded(page.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' '));

/** Where the link with this text leads; undefined if the page has none. */
export function linkIn(page: string, words: string): string | undefined {
  const links = [...page.matchAll(/<a [^>]*href="([^"]*)"[^>]*>([^]*?)<\/a>/g)];
  const found = links.find(([, , inner]) => textOf(inner!).trim() === words);
  return found && decoded(found[1]!);
}

/** Where the form of the button with this text is sent; undefined if the page has none. */
export function formIn(page: string, words: string): string | undefined {
  const forms = [...page.matchAll(/<form method="post" action="([^"]*)">\s*<button[^>]*>([^<]*)<\/button>/g)];
  const found = forms.find(([, , inner]) => textOf(inner!).trim() === words);
  return found && decoded(found[1]!);
}
