import type { INestApplication, INestApplicationContext, NestApplicationOptions } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { AppModule } from './app.module.js';
import type { Settings } from './settings.js';

/** The whole application, not yet listening. */
export async function createApp(settings: Settings, options?: NestApplicationOptions): Promise<INestApplication> {
  const app = await NestFactory.create(AppModule.forRoot(settings), options ?? {});
  app.enableShutdownHooks();
  const about = new DocumentBuilder().setTitle('Challenges').setDescription('A demo of nestjs-spark').build();
  SwaggerModule.setup('api', app, () => SwaggerModule.createDocument(app, about));
  return app;
}

/** The application without its REST API and dashboard: a process of a cluster. */
export async function createWorker(settings: Settings): Promise<INestApplicationContext> {
  const app = await NestFactory.createApplicationContext(AppModule.forRoot(settings));
  app.enableShutdownHooks();
  return app;
}
