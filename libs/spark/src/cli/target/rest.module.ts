import { type DynamicModule, Inject, type OnModuleInit } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { type Rest, SPARK_REST } from '../../common/rest.js';
import { CommandError } from '../command.error.js';

const SCHEDULE_OPTIONS = 'SCHEDULE_MODULE_OPTIONS';
const OFF = { cronJobs: false, intervals: false, timeouts: false };

/** Lets an application boot at rest: no SparkModule starts anything, and the jobs of ScheduleModule are not scheduled. */
export class RestModule implements OnModuleInit {
  constructor(@Inject(ModulesContainer) private readonly modules: ModulesContainer) {
    // Nest initialises the most distant modules first, and ScheduleModule reads its options when it is initialised.
    for (const module of modules.values()) if (module.metatype === RestModule) module.distance = Infinity;
  }

  static of(rest: Rest): DynamicModule {
    return {
      module: RestModule,
      global: true,
      providers: [{ provide: SPARK_REST, useValue: rest }],
      exports: [SPARK_REST],
    };
  }

  onModuleInit(): void {
    for (const { metatype, providers } of this.modules.values()) {
      if (metatype?.name !== 'ScheduleModule') continue;
      const options: unknown = providers.get(SCHEDULE_OPTIONS)?.instance;
      if (typeof options !== 'object' || options === null)
        throw new CommandError('This version of @nestjs/schedule cannot be kept from running jobs. Use --data-source.');
      Object.assign(options, OFF);
    }
  }
}
