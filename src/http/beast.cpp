// Beast's non-template half and Asio's TLS, compiled once for the whole program.
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
