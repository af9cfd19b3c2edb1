/**
 * WebSocket client and server with explicit flow control: send queues with water marks, drain notifications, and a
 * pause that reaches the peer through TCP.
 *
 * @example Echo
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ port: 0, onMessage: (conn, data) => conn.send(data) });
 * await using conn = ctx.connect(listener.url);
 * await conn.opened;
 * conn.send("hello");
 * console.log(await conn.receive());
 * ```
 *
 * @module
 */
export type {
  BroadcastOptions,
  BroadcastResult,
  PublishOptions,
  SlowPolicy,
} from "./src/broadcast.ts";
export {
  type Broker,
  BrokerError,
  type BrokerGap,
  type BrokerLink,
  type BrokerMessage,
} from "./src/broker/broker.ts";
export type { BrokerReports } from "./src/broker/broker_client.ts";
export { type HubPort, WorkerBroker, WorkerHub } from "./src/broker/worker_broker.ts";
export type { CloseRecord } from "./src/close_record.ts";
export type { ConnectOptions, ConnectTlsOptions } from "./src/connect_options.ts";
export {
  Connection,
  type ConnectionStats,
  type FragmentOptions,
  type HandshakeInfo,
  type SendOptions,
} from "./src/connection.ts";
export type { CompressionOptions } from "./src/deflate/compression_options.ts";
export { Context, type ContextOptions } from "./src/context.ts";
export type { ConnectionState } from "./src/engine.ts";
export {
  ConnectionClosedError,
  HandshakeError,
  InvalidStateError,
  type Message,
  QueueFullError,
  TimeoutError,
  UnsupportedError,
} from "./src/errors.ts";
export type { Extension, ExtensionParam } from "./src/handshake/extension_list.ts";
export type { HeadersOption } from "./src/handshake/field_value.ts";
export type { OriginRule } from "./src/handshake/origin.ts";
export type {
  HandshakeAnswer,
  HandshakeDecision,
  ListenerHandlers,
  ListenOptions,
  PeerInfo,
} from "./src/listen_options.ts";
export { Listener } from "./src/listener.ts";
export type { MessageHeader } from "./src/flow/inbox.ts";
export type {
  AllowRsv,
  ConnectionHandlers,
  ConnectionOptions,
  FrameHeader,
  KeepAliveOptions,
  ReceivedMessage,
} from "./src/options.ts";
export type { PingOptions } from "./src/pings.ts";
export type { CloseFrame } from "./src/protocol/closing.ts";
export { PreparedMessage, type Sendable } from "./src/prepared_message.ts";
export { ProtocolError } from "./src/protocol/protocol_error.ts";
export type { RateLimitOptions } from "./src/rate_limit.ts";
export type { Frame, RsvOptions } from "./src/raw_frame.ts";
export type { ContextStats, ShutdownOptions, ShutdownResult } from "./src/registry.ts";
export type { PublishResult } from "./src/topics.ts";
export type { StreamOptions, StreamSource } from "./src/send_stream.ts";
export type { Watch } from "./src/watch.ts";
export type { CertificateName, PeerCertificate } from "./src/transport/peer_certificate.ts";
export type { TlsClientOptions } from "./src/transport/tls_client.ts";
export type { TlsAcceptorOptions } from "./src/transport/tls_server.ts";
export type { AdoptOptions } from "./src/adopt_options.ts";
export type { AdoptSource } from "./src/adopt_source.ts";
export type { StreamPair } from "./src/transport/web_stream.ts";
export type { HttpHandler } from "./src/http/front_door.ts";
export type { StreamedMessage } from "./src/incoming.ts";
export type { Upgraded, UpgradeOptions } from "./src/upgrade_options.ts";
