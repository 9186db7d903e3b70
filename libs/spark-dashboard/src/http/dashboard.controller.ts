import {
  type CanActivate,
  Controller,
  Get,
  Inject,
  Post,
  Req,
  Res,
  type Type,
  UseGuards,
  VERSION_NEUTRAL,
} from '@nestjs/common';
import { Dashboard } from './dashboard.js';

/** What the controller of a dashboard is made with. */
export interface ControllerOptions {
  readonly path: string;
  readonly guards: readonly (CanActivate | Type<CanActivate>)[];
  readonly decorators: readonly ClassDecorator[];
}

/**
 * Makes the controller of a dashboard. It sends its answers itself, so that interceptors of the application do not change them, and it
 * takes no part of the request by a parameter, so that pipes do not.
 */
export function dashboardController({ path, guards, decorators }: ControllerOptions): Type<unknown> {
  @Controller({ path, version: VERSION_NEUTRAL })
  @UseGuards(...guards)
  class SparkDashboardController {
    constructor(@Inject(Dashboard) private readonly dashboard: Dashboard) {}

    @Get(['/', ':page'])
    read(@Req() request: unknown, @Res() response: unknown): Promise<void> {
      return this.dashboard.read(request, response);
    }

    @Post(':page')
    write(@Req() request: unknown, @Res() response: unknown): Promise<void> {
      return this.dashboard.write(request, response);
    }
  }
  for (const decorate of decorators) decorate(SparkDashboardController);
  return SparkDashboardController;
}

/**
 * Adapts the routes of a controller to the framework, before they are registered. Fastify sends the path with a slash at its end to a route
 * with a wildcard only, and Express knows no wildcard without a name.
 */
export function adaptRoutes({ prototype }: Type<unknown>, framework: string): void {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, 'read')!;
  Get(['/', framework === 'fastify' ? '*' : ':page'])(prototype as object, 'read', descriptor);
}
