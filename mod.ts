/**
 * WebSocket client and server with explicit flow control: send queues with water marks, drain notifications, and a
 * pause that reaches the peer through TCP.
 *
 * @example Echo
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: (conn, data) => conn.send(data) });
 * await using conn = ctx.connect(listener.url);
 * await conn.opened;
 * conn.send("hello");
 * console.log(await conn.receive());
 * ```
 *
 * @module
 */
export type {
  BroadcastOptionsOf,
  BroadcastResult,
  LiveSet,
  PublishOptionsOf,
  PublishResult,
  SlowPolicy,
} from "./src/pubsub/options.ts";
export {
  type Broker,
  BrokerError,
  type BrokerGap,
  type BrokerLink,
  type BrokerMessage,
} from "./src/pubsub/broker/broker.ts";
export type { BrokerReports } from "./src/pubsub/broker/broker_client.ts";
export {
  WorkerBroker,
  WorkerHub,
  type WorkerHubOptions,
  type WorkerPort,
} from "./src/pubsub/broker/worker_broker.ts";
export type { CloseRecord } from "./src/protocol/close_record.ts";
export type {
  ConnectOptions,
  ConnectTlsOptions,
  DialAddress,
} from "./src/client/connect_options.ts";
export type { BackoffOptions, ReconnectOptions } from "./src/client/reconnect.ts";
export {
  type BroadcastOptions,
  Connection,
  type ConnectionHandlers,
  type ListenerHandle,
  type PublishOptions,
} from "./src/connection.ts";
export { type Negotiated } from "./src/engine/handshake_result.ts";
export type { ConnectionStats } from "./src/engine/stats.ts";
export type { CompressionOptions } from "./src/deflate/compression_options.ts";
export { Context, type ContextOptions } from "./src/context.ts";
export type { ConnectionState } from "./src/engine/engine.ts";
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
export type { HeadersOption } from "./src/handshake/headers_option.ts";
export type { OriginRule } from "./src/handshake/origin.ts";
export type {
  DataOfDecision,
  DataOfEach,
  HandshakeAcceptance,
  HandshakeAcceptanceWithoutData,
  HandshakeDecision,
  ListenerHandlersOf,
  ListenOptionsOf,
} from "./src/server/listen_options.ts";
export type { ProxyProtocolOptions } from "./src/server/proxy_protocol.ts";
export type { TrustProxyOptions } from "./src/server/trusted_proxies.ts";
export {
  type ListenArguments,
  Listener,
  type ListenerData,
  type ListenerHandlers,
  type ListenOptions,
} from "./src/listener.ts";
export type { ReceivedMessage } from "./src/flow/receive_queue.ts";
export type { MessageHeader } from "./src/protocol/message_header.ts";
export type {
  CallArguments,
  CallData,
  ConnectionOptions,
  KeepAliveOptions,
} from "./src/connection_options.ts";
export type { FrameHeader } from "./src/protocol/message_header.ts";
export type { PingOptions } from "./src/engine/pings.ts";
export type { CloseFrame } from "./src/protocol/close_code.ts";
export { PreparedMessage, type Sendable } from "./src/engine/prepared_message.ts";
export { ProtocolError, type ProtocolErrorReason } from "./src/protocol/protocol_error.ts";
export type { RateLimitOptions } from "./src/engine/rate_limit.ts";
export type { FragmentOptions, OutgoingFrame } from "./src/engine/fragments.ts";
export type { SendOptions } from "./src/engine/sender.ts";
export type { RsvBits } from "./src/engine/rsv_bits.ts";
export type { ShutdownResult } from "./src/context/closing_connections.ts";
export type { ContextStats } from "./src/context/registry.ts";
export type { ShutdownOptions } from "./src/context/shutdown.ts";
export type { SendStreamOptions, SendStreamSource } from "./src/engine/send_stream.ts";
export type { Watch } from "./src/context/watch.ts";
export type { CertificateName, PeerCertificate } from "./src/transport/peer_certificate.ts";
export type {
  SocketListener,
  Sockets,
  SocketTransport,
  TcpListenOptions,
} from "./src/transport/sockets.ts";
export type { Transport } from "./src/transport/transport.ts";
export type { TlsClientOptions } from "./src/transport/tls_client.ts";
export type { CertificateKeyPair, TlsAcceptorOptions } from "./src/transport/tls_server.ts";
export type { AdoptArguments, AdoptOptions } from "./src/adopt/adopt_options.ts";
export type { AdoptSource } from "./src/adopt/adopt_source.ts";
export type { StreamPair } from "./src/transport/web_stream.ts";
export type { HttpHandler, PeerInfo } from "./src/server/peer_info.ts";
export type { MessageIteratorOptions } from "./src/engine/message_iterator.ts";
export type { IncomingMessageStream } from "./src/engine/message_stream_iterator.ts";
export type { UpgradeOptions, UpgradeResult } from "./src/adopt/upgrade_options.ts";

export type { HandlersOf } from "./src/engine/handlers.ts";
