declare module '@nestjs/config' {
  export class ConfigService {
    get<T = string>(name: string): T;
    getOrThrow<T = string>(name: string): T;
  }
}
