import { type DynamicModule, Global, Module, ValidationPipe } from '@nestjs/common';
import { APP_PIPE } from '@nestjs/core';
import { ScheduleModule } from '@nestjs/schedule';
import { ApiExcludeController } from '@nestjs/swagger';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SparkModule } from 'nestjs-spark';
import { SparkDashboardModule } from 'nestjs-spark-dashboard';
import { ChallengeModule } from './challenge/challenge.module.js';
import { HomeController } from './home.controller.js';
import { LedgerModule } from './ledger/ledger.module.js';
import { localAccess } from './local-access.js';
import { type Settings, SETTINGS } from './settings.js';
import { sparkOptions } from './spark-options.js';
import { SupporterModule } from './supporter/supporter.module.js';

const validation = new ValidationPipe({
  whitelist: true,
  forbidNonWhitelisted: true,
  // Refuses a body that is no object, such as a list.
  forbidUnknownValues: true,
  transform: true,
});

@Global()
@Module({})
export class AppModule {
  static forRoot(settings: Settings): DynamicModule {
    return {
      module: AppModule,
      imports: [
        TypeOrmModule.forRoot({ ...settings.database, autoLoadEntities: true, synchronize: true }),
        ScheduleModule.forRoot(),
        SparkModule.forRoot(sparkOptions(settings)),
        SparkDashboardModule.forRoot({
          access: localAccess,
          environment: 'demo',
          decorators: [ApiExcludeController()],
        }),
        ChallengeModule,
        SupporterModule,
        LedgerModule,
      ],
      controllers: [HomeController],
      providers: [
        { provide: SETTINGS, useValue: settings },
        { provide: APP_PIPE, useValue: validation },
      ],
      exports: [SETTINGS],
    };
  }
}
