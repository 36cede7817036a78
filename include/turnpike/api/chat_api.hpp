// POST /v1/chat/completions, /v1/completions, /v1/embeddings.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "turnpike/api/guard.hpp"
#include "turnpike/api/header_signing.hpp"
#include "turnpike/api/queue_api.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/inference/inference.hpp"

namespace turnpike::api {

// Loop thread only.
class ChatApi {
 public:
  ChatApi(const Guard& guard, inference::Inference& inference, QueueApi& queue, HeaderSigning signing)
      : guard_(guard), inference_(inference), queue_(queue), signing_(signing) {}
  void add_routes(http::Router& router);

 private:
  boost::asio::awaitable<void> handle(http::Exchange& exchange, scan::RequestKind kind);
  boost::asio::awaitable<void> answer_whole(http::Exchange& exchange, Caller caller,
                                            std::unique_ptr<inference::Job> job);
  boost::asio::awaitable<void> answer_stream(http::Exchange& exchange, Caller caller,
                                             std::unique_ptr<inference::Job> job);

  const Guard& guard_;
  inference::Inference& inference_;
  QueueApi& queue_;
  HeaderSigning signing_;
};

}  // namespace turnpike::api
