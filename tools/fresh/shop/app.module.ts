import { Module } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { TerminusModule } from '@nestjs/terminus';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SparkModule } from 'nestjs-spark';
import { SparkDashboardModule } from 'nestjs-spark-dashboard';
import { SparkTelemetryModule } from 'nestjs-spark/otel';
import { SparkHealthIndicator } from 'nestjs-spark/terminus';
import { database } from './database.js';
import { HealthController } from './health.controller.js';
import { Order } from './order.entity.js';
import { OnCall, Shop } from './shop.js';

@Module({
  imports: [
    TypeOrmModule.forRoot({ ...database(), entities: [Order], synchronize: true, retryAttempts: 0 }),
    ScheduleModule.forRoot(),
    SparkModule.forRoot({ sweep: { interval: '1h' } }),
    SparkTelemetryModule.forRoot(),
    SparkDashboardModule.forRoot({ access: () => 'read' }),
    TerminusModule,
  ],
  controllers: [HealthController],
  providers: [Shop, OnCall, SparkHealthIndicator],
})
export class AppModule {}
