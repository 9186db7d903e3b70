import { type DynamicModule, Global, Module, ValidationPipe } from '@nestjs/common';
import { APP_PIPE } from '@nestjs/core';
import { CronExpression, ScheduleModule } from '@nestjs/schedule';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SparkModule } from 'nestjs-spark';
import { ChallengeModule } from './challenge/challenge.module.js';
import { HomeController } from './home.controller.js';
import { LedgerModule } from './ledger/ledger.module.js';
import { type Settings, SETTINGS } from './settings.js';

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
        SparkModule.forRoot({ sweep: { cron: CronExpression.EVERY_10_MINUTES } }),
        ChallengeModule,
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
